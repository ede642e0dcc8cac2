//! One choice of several for each of many, so that all together fit a budget and cost least.
//!
//! Where choices lie on a convex line from small and costly to large and cheap, taking steps in the order of what a byte
//! gains is the best that any budget can buy (it is what a Lagrangian's multiplier sorts by). What is left of the budget
//! when a step no longer fits is spent on whatever fits, and then on exchanges: one matrix gives back, others take more.

/// What one of the choices takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) bytes: u64,
    pub(super) cost: f64,
}

/// Rounds of exchanges at most; two or three find nothing more.
const MAX_ROUNDS: usize = 10;

/// The index of a choice for each. Choices are sorted by bytes, and the first ones fit the budget.
pub(super) fn solve(all: &[Vec<Choice>], budget: u64) -> Vec<usize> {
    let mut chosen = vec![0; all.len()];
    let mut spare = budget.saturating_sub(all.iter().map(|choices| choices[0].bytes).sum());

    let mut steps: Vec<(f64, usize, usize)> = Vec::new();
    for (i, choices) in all.iter().enumerate() {
        let hull = hull(choices);
        steps.extend(hull.windows(2).map(|pair| (gain(choices, pair[0], pair[1]), i, pair[1])));
    }
    // A line is convex, so that its steps stay in their order; equal gains keep the order of the matrices.
    steps.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, i, to) in steps {
        let more = all[i][to].bytes - all[i][chosen[i]].bytes;
        if more > spare {
            break;
        }
        spare -= more;
        chosen[i] = to;
    }
    fill(all, &mut chosen, &mut spare, None);
    for _ in 0..MAX_ROUNDS {
        if !exchange(all, &mut chosen, &mut spare) {
            break;
        }
    }
    chosen
}

/// What a byte gains from one choice to a larger one.
fn gain(choices: &[Choice], from: usize, to: usize) -> f64 {
    let (from, to) = (choices[from], choices[to]);
    (from.cost - to.cost) / (to.bytes - from.bytes).max(1) as f64
}

/// The choices on the lower convex line, from the first to the cheapest.
fn hull(choices: &[Choice]) -> Vec<usize> {
    let mut hull = vec![0];
    loop {
        let last = hull[hull.len() - 1];
        let later = (last + 1..choices.len()).filter(|&to| choices[to].cost < choices[last].cost);
        // Of equal gains the largest step: what lies between is on the line, and of no use.
        match later.max_by(|&a, &b| gain(choices, last, a).total_cmp(&gain(choices, last, b))) {
            Some(next) => hull.push(next),
            None => return hull,
        }
    }
}

/// Takes the steps that fit, the best first; not those of `except`.
fn fill(all: &[Vec<Choice>], chosen: &mut [usize], spare: &mut u64, except: Option<usize>) {
    loop {
        let mut best = (0.0, 0, 0);
        for (i, choices) in all.iter().enumerate().filter(|(i, _)| Some(*i) != except) {
            let from = choices[chosen[i]];
            for (to, choice) in choices.iter().enumerate().skip(chosen[i] + 1) {
                let gain = gain(choices, chosen[i], to);
                if choice.bytes - from.bytes <= *spare && gain > best.0 {
                    best = (gain, i, to);
                }
            }
        }
        let (gain, i, to) = best;
        if gain <= 0.0 {
            return;
        }
        *spare -= all[i][to].bytes - all[i][chosen[i]].bytes;
        chosen[i] = to;
    }
}

/// Lets each give back what others gain more from; whether any did.
fn exchange(all: &[Vec<Choice>], chosen: &mut Vec<usize>, spare: &mut u64) -> bool {
    let mut any = false;
    for giver in 0..all.len() {
        for less in (0..chosen[giver]).rev() {
            let (mut others, mut left) = (chosen.clone(), *spare);
            left += all[giver][others[giver]].bytes - all[giver][less].bytes;
            others[giver] = less;
            fill(all, &mut others, &mut left, Some(giver));
            // And what the others could not use.
            fill(all, &mut others, &mut left, None);
            let (before, after) = (cost(all, chosen), cost(all, &others));
            if after < before * (1.0 - 1e-9) {
                (*chosen, *spare) = (others, left);
                any = true;
                break;
            }
        }
    }
    any
}

fn cost(all: &[Vec<Choice>], chosen: &[usize]) -> f64 {
    all.iter().zip(chosen).map(|(choices, &at)| choices[at].cost).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(all: &[(u64, f64)]) -> Vec<Choice> {
        all.iter().map(|&(bytes, cost)| Choice { bytes, cost }).collect()
    }

    fn total(all: &[Vec<Choice>], chosen: &[usize]) -> (u64, f64) {
        let of = all.iter().zip(chosen).map(|(choices, &at)| choices[at]);
        of.fold((0, 0.0), |(bytes, cost), choice| (bytes + choice.bytes, cost + choice.cost))
    }

    /// The least cost of all ways.
    fn exact(all: &[Vec<Choice>], budget: u64) -> f64 {
        let Some((first, rest)) = all.split_first() else { return 0.0 };
        let each = first.iter().filter(|choice| choice.bytes <= budget);
        each.map(|choice| choice.cost + exact(rest, budget - choice.bytes)).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn what_lies_above_the_line_is_no_step() {
        let line = choices(&[(10, 9.0), (20, 8.0), (30, 3.0), (40, 3.5), (50, 1.0)]);
        assert_eq!(hull(&line), [0, 2, 4]);
        assert_eq!(hull(&choices(&[(10, 0.0)])), [0]);
    }

    #[test]
    fn no_budget_is_exceeded_and_none_is_wasted() {
        let mut state = 1u64;
        let mut next = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        let (mut found, mut best) = (0.0, 0.0);
        for _ in 0..300 {
            let all: Vec<_> = (0..6)
                .map(|_| {
                    let (size, matters) = (1 + next(30), 1.0 + next(50) as f64);
                    // As quantized types are: each more bit quarters the error, about.
                    let of = |bits: u64| {
                        (size * bits, matters * 0.25f64.powi(bits as i32) * (1.0 + next(9) as f64 / 20.0))
                    };
                    choices(&[2, 3, 4, 5, 6, 8].map(of))
                })
                .collect();
            let least: u64 = all.iter().map(|choices| choices[0].bytes).sum();
            let budget = least + next(2 * least);
            let chosen = solve(&all, budget);
            let (bytes, cost) = total(&all, &chosen);
            let optimum = exact(&all, budget);
            assert!(
                bytes <= budget && cost >= optimum * (1.0 - 1e-9),
                "{bytes} of {budget}: {cost}, {optimum}"
            );
            assert!(cost <= 1.5 * optimum, "{cost}, {optimum}");
            // Nothing that is left would buy anything.
            for (choices, &at) in all.iter().zip(&chosen) {
                let mut more = choices[at + 1..].iter().filter(|more| more.cost < choices[at].cost);
                assert!(more.all(|more| more.bytes - choices[at].bytes > budget - bytes));
            }
            found += cost;
            best += optimum;
        }
        // Of only six matrices; the more there are, the less a step that does not fit matters.
        assert!(found <= 1.02 * best, "{found}, {best}");
    }

    #[test]
    fn a_large_budget_buys_the_cheapest_and_the_least_buys_the_smallest() {
        let all = vec![choices(&[(10, 5.0), (20, 1.0), (30, 1.5)]), choices(&[(7, 1.0), (9, 0.0)])];
        assert_eq!(solve(&all, 1000), [1, 1]);
        assert_eq!(solve(&all, 17), [0, 0]);
        assert_eq!(solve(&all, 19), [0, 1]);
    }
}
