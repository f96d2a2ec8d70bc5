//! What a fetch from a tracker has come to: an answer, or why there is none.

use super::tracker_state::Failure;
use crate::base::address::Reach;
use crate::engine::input::{HttpAnswer, HttpFailure};
use crate::wire::tracker::AnnounceAnswer;

/// What a fetch has come to.
pub(super) enum Outcome {
    Answered(AnnounceAnswer, Reach),
    NoSuchFamily,
    Failed(Failure),
}

pub(super) fn read(result: Result<HttpAnswer, HttpFailure>) -> Outcome {
    let failed = |reason: String| Outcome::Failed(Failure { reason, refused: false, retry: None });
    let answer = match result {
        Ok(answer) => answer,
        Err(HttpFailure::NoSuchFamily) => return Outcome::NoSuchFamily,
        Err(failure) => return failed(failure.to_string()),
    };
    let reach = answer.server.map_or(Some(Reach::Global), |server| Reach::of(server.ip()));
    // Some trackers refuse with a status of 400 and more; the reason is worth more than the number.
    match AnnounceAnswer::decode(&answer.body) {
        Ok(AnnounceAnswer { failure_reason: Some(reason), retry_in, .. }) => {
            Outcome::Failed(Failure { reason, refused: true, retry: retry_in })
        }
        _ if answer.status != 200 => failed(format!("HTTP status {}", answer.status)),
        Ok(told) => Outcome::Answered(told, reach.unwrap_or(Reach::Global)),
        Err(error) => failed(error.to_string()),
    }
}
