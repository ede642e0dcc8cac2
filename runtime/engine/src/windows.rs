//! A text in windows, as llama.cpp's programs cut it: each starts with BOS, where the model wants one, and knows nothing
//! of the others. What is left at the end is dropped.

use crate::{Error, Matrix, Session};
use std::ops::ControlFlow;

/// Empties the session, and makes `window` the window of `text` as it is fed: with BOS in its first place.
pub(crate) fn begin_window(session: &mut Session<'_>, text: &[u32], window: &mut Vec<u32>) {
    session.truncate(0);
    window.clear();
    window.extend_from_slice(text);
    if let Some(&bos) = session.model().tokenizer().with_bos(Vec::new()).first() {
        window[0] = bos;
    }
}

/// Runs a model over the windows of a text, and shows what every matrix is multiplied with: `see(window, matrices, x)`,
/// `x` a row of `n_cols` floats for each token. Matrices that share an input come together. The output matrix comes with
/// `with_output` only: it is the largest of all. `each(windows done)` may stop it.
///
/// # Errors
/// If the windows are longer than the session's context, or the text is shorter than one; as of [`Session::feed`].
pub fn see_windows(
    session: &mut Session<'_>,
    tokens: &[u32],
    context: usize,
    with_output: bool,
    mut each: impl FnMut(usize) -> ControlFlow<()>,
    mut see: impl FnMut(usize, &[&Matrix], &[f32]),
) -> Result<(), Error> {
    if context == 0 || context > session.context() {
        return Err(Error::Request(format!(
            "windows of {context} tokens do not fit the session's context of {}",
            session.context()
        )));
    }
    if tokens.len() < context {
        return Err(Error::Request(format!(
            "the text has {} tokens, but one window takes {context}: take a longer text or shorter windows (--context)",
            tokens.len()
        )));
    }
    let mut window = Vec::with_capacity(context);
    for (done, text) in tokens.chunks_exact(context).enumerate() {
        begin_window(session, text, &mut window);
        session.feed_seen(&window, |_| with_output, |_, _| (), &mut |matrices, x| see(done, matrices, x))?;
        if each(done + 1).is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionOptions;
    use crate::tiny::{Random, Tiny};
    use std::collections::BTreeMap;

    #[test]
    fn every_matrix_is_seen_with_what_it_is_multiplied_with() {
        let model = Tiny::new().model();
        let mut random = Random(3);
        let tokens: Vec<u32> = (0..50).map(|_| (random.next() % 300) as u32).collect();
        let mut seen = Vec::new();
        for batch in [20, 7] {
            let options = SessionOptions { context: 20, threads: 1, batch, ..Default::default() };
            let mut session = Session::new(&model, &options).unwrap();
            let mut inputs: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
            let see = |window: usize, matrices: &[&Matrix], x: &[f32]| {
                assert!(window < 2 && x.len().is_multiple_of(matrices[0].n_cols));
                for matrix in matrices {
                    inputs.entry(matrix.tensor).or_default().extend_from_slice(x);
                }
            };
            see_windows(&mut session, &tokens, 20, true, |_| ControlFlow::Continue(()), see).unwrap();
            for matrix in model.weights().matrices().skip(1) {
                assert_eq!(inputs[&matrix.tensor].len(), 40 * matrix.n_cols);
            }
            seen.push(inputs);
        }
        assert!(seen[0] == seen[1], "what is seen does not depend on the passes");

        // The output matrix: what was seen, multiplied by hand, is the logits.
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        let mut window = tokens[..20].to_vec();
        window[0] = 1;
        let logits = session.feed(&window).unwrap();
        let output = &model.weights().output;
        let x = &seen[0][&output.tensor][19 * output.n_cols..][..output.n_cols];
        let mut row = vec![0.0; output.n_cols];
        for (at, logit) in logits.iter().enumerate().step_by(50) {
            model.rows(output, at..at + 1).decode(0, &mut row);
            let product: f32 = row.iter().zip(x).map(|(w, x)| w * x).sum();
            assert!((product - logit).abs() < 1e-4, "{at}: {product} and {logit}");
        }
    }

    #[test]
    fn a_text_that_makes_no_window_is_refused_and_a_break_ends_it() {
        let model = Tiny::new().model();
        let options = SessionOptions { context: 20, threads: 1, ..Default::default() };
        let mut session = Session::new(&model, &options).unwrap();
        for (n_tokens, context, words) in
            [(19, 20, "the text has 19 tokens"), (50, 21, "context of 20"), (50, 0, "windows of 0")]
        {
            let go = |_| ControlFlow::Continue(());
            let error =
                see_windows(&mut session, &vec![5; n_tokens], context, false, go, |_, _, _| ()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let mut n = 0;
        let stop = |_| ControlFlow::Break(());
        see_windows(&mut session, &[5; 50], 20, false, stop, |window, _, _| n = n.max(window + 1)).unwrap();
        assert_eq!(n, 1);
    }
}
