//! Today's date, which some templates tell the model.
//!
//! The time is UTC: the standard library does not know the local zone, and a date is all that templates ask for.

use minijinja::{Error, ErrorKind};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The first of January 1970 was a Thursday.
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `strftime_now("%d %b %Y")`.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    strftime(format, since.as_secs())
}

/// `seconds` since 1970.
fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let month_name = MONTHS[month - 1];
    let day_name = DAYS[(days % 7) as usize];
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let code = characters.next();
        let written = match code {
            Some('Y') => write!(text, "{year:04}"),
            Some('y') => write!(text, "{:02}", year % 100),
            Some('m') => write!(text, "{month:02}"),
            Some('B') => write!(text, "{month_name}"),
            Some('b') => write!(text, "{}", &month_name[..3]),
            Some('d') => write!(text, "{day:02}"),
            Some('A') => write!(text, "{day_name}"),
            Some('a') => write!(text, "{}", &day_name[..3]),
            Some('H') => write!(text, "{hour:02}"),
            Some('I') => write!(text, "{:02}", (hour + 11) % 12 + 1),
            Some('p') => write!(text, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('M') => write!(text, "{minute:02}"),
            Some('S') => write!(text, "{:02}", second % 60),
            Some('%') => write!(text, "%"),
            _ => {
                let code = code.map(String::from).unwrap_or_default();
                let problem = format!("strftime_now does not know `%{code}`");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    Ok(text)
}

/// Year, month and day (both from 1) of a day since 1970.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Whole cycles of 400 years first: a clock that is far off must not make a loop of it.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for n_days in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < n_days {
            break;
        }
        days -= n_days;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_as_python_does() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 Thu Thursday January 12 AM 70 %"),
            (951_782_399, "2000-02-28 23:59:59 Mon Monday February 11 PM 00 %"),
            (951_782_400, "2000-02-29 00:00:00 Tue Tuesday February 12 AM 00 %"),
            (1_721_952_000, "2024-07-26 00:00:00 Fri Friday July 12 AM 24 %"),
            (4_107_542_400, "2100-03-01 00:00:00 Mon Monday March 12 AM 00 %"),
        ] {
            assert_eq!(strftime("%Y-%m-%d %H:%M:%S %a %A %B %I %p %y %%", seconds).unwrap(), expected);
        }
        assert_eq!(strftime("%d %b %Y", 1_721_952_000).unwrap(), "26 Jul 2024");
        for bad in ["%Q", "%"] {
            assert!(strftime(bad, 0).is_err());
        }
        assert!(strftime("%Y", u64::MAX).is_ok());
    }
}
