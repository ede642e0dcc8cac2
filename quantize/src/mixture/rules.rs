//! The table: in files of these names, a matrix of this kind gets this type where this holds. The first row that fits
//! counts; without one a matrix gets the type that most have.

use super::{Category, Place};
use crate::FileType;
use blocks::TensorType;

type When = fn(&Place<'_>) -> bool;

struct Rule(&'static [FileType], Category, When, TensorType);

const RULES: &[Rule] = {
    use Category::{AttentionOutput, Down, TokenEmbedding, Value};
    use FileType::*;
    use TensorType as T;
    &[
        Rule(&[Tq1_0, Tq2_0], TokenEmbedding, always, T::Q4K),
        Rule(&[Q2K, Q2KS], Value, four_share, T::Q4K),
        Rule(&[Q2K], Value, always, T::Q3K),
        Rule(&[Q3KM], Value, in_the_first_two, T::Q5K),
        Rule(&[Q3KM], Value, always, T::Q4K),
        Rule(&[Q3KL], Value, always, T::Q5K),
        Rule(&[Q4KS], Value, in_the_first_four, T::Q5K),
        Rule(&[Q4KM, Q5KM], Value, where_it_pays, T::Q6K),
        Rule(&[Iq4Nl, Iq4Xs], Value, four_share, T::Q5K),
        Rule(&[Q2K], Down, always, T::Q3K),
        Rule(&[Q2KS], Down, in_the_first_eighth, T::Q4K),
        Rule(&[Q3KM], Down, in_the_first_sixteenth, T::Q5K),
        Rule(&[Q3KM], Down, always, T::Q4K),
        Rule(&[Q3KL], Down, always, T::Q5K),
        Rule(&[Q4KS], Down, in_the_first_eighth, T::Q5K),
        Rule(&[Q4KM, Q5KM], Down, where_it_pays, T::Q6K),
        Rule(&[Iq4Nl, Iq4Xs], Down, in_the_first_eighth_unmeasured, T::Q5K),
        Rule(&[Q4_0], Down, in_the_first_eighth_measured, T::Q4_1),
        Rule(&[Q5_0], Down, in_the_first_eighth_measured, T::Q5_1),
        Rule(&[Q2K, Q3KS, Q3KM, Q4KS, Q4KM, Iq4Nl, Iq4Xs], AttentionOutput, of_eight_experts, T::Q5K),
        Rule(&[Q3KL], AttentionOutput, of_eight_experts, T::Q3K),
        Rule(&[Q2K], AttentionOutput, always, T::Q3K),
        Rule(&[Q3KM], AttentionOutput, always, T::Q4K),
        Rule(&[Q3KL], AttentionOutput, always, T::Q5K),
    ]
};

/// What the table says.
pub(super) fn find(file_type: FileType, category: Category, place: &Place<'_>) -> Option<TensorType> {
    let fits =
        |&&Rule(files, of, when, _): &&Rule| of == category && files.contains(&file_type) && when(place);
    RULES.iter().find(fits).map(|rule| rule.3)
}

fn always(_: &Place<'_>) -> bool {
    true
}

fn four_share(place: &Place<'_>) -> bool {
    place.model.n_shared() >= 4
}

fn of_eight_experts(place: &Place<'_>) -> bool {
    place.model.n_experts == 8
}

fn in_the_first_two(place: &Place<'_>) -> bool {
    place.at < 2
}

fn in_the_first_four(place: &Place<'_>) -> bool {
    place.at < 4
}

fn in_the_first_sixteenth(place: &Place<'_>) -> bool {
    place.at < place.n / 16
}

fn in_the_first_eighth(place: &Place<'_>) -> bool {
    place.at < place.n / 8
}

/// With an importance matrix, some blocks of 32 without a minimum came out bad.
fn in_the_first_eighth_measured(place: &Place<'_>) -> bool {
    place.has_imatrix && in_the_first_eighth(place)
}

/// Where no importance matrix tells which columns the large activations meet.
fn in_the_first_eighth_unmeasured(place: &Place<'_>) -> bool {
    !place.has_imatrix && in_the_first_eighth(place)
}

/// The first eighth, the last eighth, and every third between.
fn where_it_pays(place: &Place<'_>) -> bool {
    let eighth = place.n / 8;
    place.at < eighth || place.at >= 7 * place.n / 8 || (place.at - eighth) % 3 == 2
}
