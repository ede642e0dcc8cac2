//! Conversations on a terminal: a pseudo-terminal stands in for a person's. What is said there, what a key or a signal
//! does, and that the terminal is afterwards what it was.

use crate::chat::messages;
use crate::ends::signals_are_ignored;
use crate::{arg, model};
use assert_cmd::cargo::cargo_bin;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the editor writes when it is ready for a message.
const PROMPT: &str = "> ";

/// A chat, the terminal it runs on, and everything that was to be seen there.
struct Chat {
    child: Child,
    keyboard: File,
    /// Held open, so that the terminal outlives the chat.
    terminal: File,
    before: Termios,
    screen: Arc<Mutex<Vec<u8>>>,
    /// How much of the screen a test has looked at.
    n_seen: usize,
    state: TempDir,
}

impl Chat {
    fn start(flags: &[&str]) -> Self {
        Self::with(&model("q8_0"), flags)
    }

    fn with(model: &Path, flags: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it may be used");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let keyboard = File::from(master);
        let path = name.into_string().expect("ASCII");
        let terminal = File::options().read(true).write(true).open(path).expect("its other end");
        let wide = Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, wide).expect("a size");
        let before = tcgetattr(&terminal).expect("its mode");
        let state = TempDir::new().expect("a folder");

        // Ctrl-C becomes a signal for those whose terminal it is: `setsid --ctty` makes it the chat's, in one process.
        let stream = || Stdio::from(terminal.try_clone().expect("a second one"));
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(cargo_bin!("llamita"))
            .args(["chat", arg(model), "--temperature", "0"])
            .args(flags)
            .env("XDG_STATE_HOME", state.path())
            .env("TERM", "xterm")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .expect("setsid is part of every Linux");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut display, shared) = (keyboard.try_clone().expect("a second one"), Arc::clone(&screen));
        // Ends with an error when the terminal does.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = display.read(&mut bytes) {
                shared.lock().expect("nobody panics with it").extend_from_slice(&bytes[..n]);
            }
        });
        let mut chat = Self { child, keyboard, terminal, before, screen, n_seen: 0, state };
        chat.wait_for(PROMPT);
        chat
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Types a line and waits until the next one is asked for; what was to be seen meanwhile.
    #[track_caller]
    fn line(&mut self, text: &str) -> String {
        // The editor draws the line once more when it is entered; what follows is the answer.
        self.press(&format!("{text}\r"));
        self.wait_for("\n");
        self.wait_for(PROMPT)
    }

    /// What is on the screen from where the last call ended, up to and with `text`.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let seen = self.screen.lock().expect("nobody panics with it")[self.n_seen..].to_vec();
            if let Some(at) = seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                let end = at + text.len();
                self.n_seen += end;
                return String::from_utf8_lossy(&seen[..end]).into_owned();
            }
            let seen = String::from_utf8_lossy(&seen);
            assert!(start.elapsed() < PATIENCE, "{text:?} is not in {seen:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end, with this status; the terminal is what it was.
    #[track_caller]
    fn ends(&mut self, status: i32) {
        let start = Instant::now();
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("our own child") {
                break ended;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(ended.code(), Some(status));
        let after = tcgetattr(&self.terminal).expect("its mode");
        let modes =
            |mode: &Termios| (mode.input_modes, mode.output_modes, mode.control_modes, mode.local_modes);
        assert_eq!(modes(&after), modes(&self.before));
        // What it wrote last may still be on its way to the screen.
        loop {
            let screen = self.screen.lock().expect("nobody panics with it").clone();
            let screen = String::from_utf8_lossy(&screen);
            let (on, off) = (screen.rfind("\u{1b}[?2004h"), screen.rfind("\u{1b}[?2004l"));
            if on < off {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "pasted text is still marked: {screen:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process has a number");
        kill_process(pid, signal).expect("it runs still");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }
}

/// A test that fails leaves no chat behind.
impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_evening() {
    let mut chat = Chat::start(&["-n", "8", "--context", "128", "--system", "Be brief."]);
    let path = chat.file("chat.json");
    for turn in 1..=3 {
        assert!(!chat.line(&format!("This is message {turn}.")).contains("forgotten"));
    }
    assert!(chat.line(&format!("/save {}", arg(&path))).contains("7 messages"));
    let said = messages(&path);
    let users: Vec<_> =
        said.iter().filter(|(role, _)| role == "user").map(|(_, text)| text.as_str()).collect();
    assert_eq!(users, ["This is message 1.", "This is message 2.", "This is message 3."]);

    // What is on the screen is what was saved.
    let again = chat.line("/regen");
    assert!(again.contains(said[6].1.lines().next().unwrap_or_default()), "{again:?} {said:?}");

    // More messages than there is room for.
    assert!(
        (4..9).any(|turn| chat
            .line(&format!("This is message {turn}."))
            .contains("oldest turns were forgotten"))
    );
    assert!(chat.line("/stats").contains("of 128 tokens"));
    chat.line(&format!("/load {}", arg(&path)));
    tcsetwinsize(&chat.terminal, Winsize { ws_row: 10, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("a size");
    chat.press("One\\\r");
    chat.wait_for("\n");
    chat.wait_for(". ");
    chat.line("more.");
    chat.line(&format!("/save {}", arg(&path)));
    let said = messages(&path);
    assert_eq!((said.len(), said[7].1.as_str()), (9, "One\nmore."));

    chat.press("/exit\r");
    chat.ends(0);
    let history = std::fs::read_to_string(chat.file("llamita/history")).expect("what was typed");
    assert!(history.contains("This is message 1.") && history.contains("/exit"), "{history}");
}

#[test]
fn ctrl_c_stops_an_answer_and_then_the_chat() {
    if signals_are_ignored() {
        return;
    }
    let mut chat = Chat::start(&[]);
    let path = chat.file("chat.json");
    chat.press("It was\r");
    // The editor has ended its line, and the answer has a word.
    chat.wait_for("\n");
    chat.wait_for(" ");
    chat.press("\u{3}");
    let rest = chat.wait_for(PROMPT);
    chat.line(&format!("/save {}", arg(&path)));
    let said = messages(&path);
    assert_eq!(said.len(), 2, "{rest:?}");
    let answer = &said[1].1;
    assert!(answer.len() < 4000, "it was stopped long before the context was full: {answer}");

    // A message that was begun is taken back.
    chat.press("never said\\\r");
    chat.wait_for("\n");
    chat.wait_for(". ");
    chat.press("\u{3}");
    chat.wait_for(PROMPT);
    chat.line(&format!("/save {}", arg(&path)));
    assert_eq!(messages(&path), said);

    chat.press("\u{3}");
    chat.ends(130);
}

/// A file from a stranger: one of its words is an order to the terminal.
#[test]
fn a_model_cannot_steer_the_terminal() {
    const WORD: &[u8] = "▁The".as_bytes();
    const ORDER: &[u8] = b"\x1b[31m!";
    assert_eq!(WORD.len(), ORDER.len());
    let mut bytes = std::fs::read(model("q8_0")).expect("our own file");
    // In a GGUF, a text follows its length.
    let entry = [&(WORD.len() as u64).to_le_bytes(), WORD].concat();
    let at = bytes.windows(entry.len()).position(|window| window == entry).expect("a word of the vocabulary");
    bytes[at + 8..at + entry.len()].copy_from_slice(ORDER);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("stranger.gguf");
    std::fs::write(&path, bytes).expect("there is room");

    let mut chat = Chat::with(&path, &["-n", "100"]);
    let answer = chat.line("It was");
    assert!(answer.contains("\\u{1b}[31m!") && !answer.contains("\u{1b}[31m"), "{answer:?}");
    chat.press("/exit\r");
    chat.ends(0);
}

#[test]
fn a_byte_that_is_no_text_ends_a_line_and_not_the_chat() {
    let mut chat = Chat::start(&["-n", "4"]);
    chat.keyboard.write_all(b"caf\xe9\r").expect("the terminal is open");
    chat.wait_for("not UTF-8 text");
    chat.wait_for(PROMPT);
    chat.press("\u{4}");
    chat.ends(0);
}

#[test]
fn ctrl_d_leaves() {
    let mut chat = Chat::start(&[]);
    chat.press("\u{4}");
    chat.ends(0);
}

#[test]
fn a_signal_ends_a_chat_and_the_terminal_is_what_it_was() {
    if signals_are_ignored() {
        return;
    }
    for (signal, is_answering) in
        [(Signal::TERM, false), (Signal::HUP, false), (Signal::TERM, true), (Signal::HUP, true)]
    {
        let mut chat = Chat::start(&[]);
        if is_answering {
            chat.press("It was\r");
            chat.wait_for("\n");
            chat.wait_for(" ");
        }
        chat.signal(signal);
        chat.ends(130);
    }
}
