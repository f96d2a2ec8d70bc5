//! The walk over the tiers.

mod ending;

use std::collections::VecDeque;

use super::outcome::{Outcome, read};
use super::tier::Tiers;
use super::tracker_state::{Attempt, FAMILIES, Failure, Route, Standing, Tracker};
use super::{AnnouncerSettings, FetchKey, Totals, TrackerOutput, url_rule};
use crate::base::limit;
use crate::base::random::Rng;
use crate::base::time::{Duration, Instant};
use crate::engine::action::HttpRequest;
use crate::engine::input::{HttpAnswer, HttpFailure};
use crate::wire::shown_url::without_secrets;
use crate::wire::tracker::{AnnounceRequest, Event};

/// How long an announce may take.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The trackers of one torrent.
#[derive(Debug)]
pub struct Announcer {
    settings: AnnouncerSettings,
    rng: Rng,
    trackers: Vec<Tracker>,
    tiers: Tiers,
    phase: Phase,
    /// The tracker that the round under way waits for.
    asked: Option<usize>,
    /// The tracker that last worked, while it does.
    working: Option<usize>,
    wants_peers: bool,
    /// How long after the last answer peers are asked for again; doubles with every answer that came while
    /// peers were wanted, so that a swarm that has none is not asked about for ever.
    step: Duration,
    /// When the last answer came.
    answered_at: Instant,
    /// Whether the torrent was completed in this run.
    is_completed: bool,
    next_key: u32,
    outputs: VecDeque<Pending>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    Running,
    /// `stopped` is being told; given up at `by`.
    Stopping {
        grace: Instant,
        by: Instant,
    },
    Stopped,
}

/// An output, or one that is made when it is taken, so that its numbers are of that moment.
#[derive(Debug)]
enum Pending {
    Output(TrackerOutput),
    Announce { key: FetchKey, tracker: usize, family: usize, event: Option<Event>, timeout: Duration },
}

impl Announcer {
    /// An announcer for trackers at these URLs, by tier. Those that are there twice, may not be asked or are
    /// more than [`limit::TRACKERS`] are left out.
    pub fn new(settings: AnnouncerSettings, urls: Vec<Vec<String>>, mut rng: Rng) -> Announcer {
        let mut trackers: Vec<Tracker> = Vec::new();
        let mut tiers = Vec::new();
        let mut outputs = VecDeque::new();
        for urls in urls {
            let mut tier = Vec::new();
            for url in urls {
                if trackers.len() >= limit::TRACKERS || trackers.iter().any(|other| other.url == url) {
                    continue;
                }
                let rule = url_rule::check(&url);
                let shown = without_secrets(&url);
                if let Err(reason) = rule {
                    outputs.push_back(Pending::Output(TrackerOutput::Failed {
                        tracker: shown.clone(),
                        reason: reason.to_owned(),
                        refused: false,
                    }));
                }
                tier.push(trackers.len());
                trackers.push(Tracker::new(url, shown, rule.ok()));
            }
            tiers.push(tier);
        }
        let tiers = Tiers::new(tiers, &mut rng);
        Announcer {
            settings,
            rng,
            trackers,
            tiers,
            phase: Phase::Idle,
            asked: None,
            working: None,
            wants_peers: false,
            step: limit::ANNOUNCE_GAP_MIN,
            answered_at: Instant::ZERO,
            is_completed: false,
            next_key: 0,
            outputs,
        }
    }

    /// Begins to announce; nothing happens where no family is in use.
    pub fn start(&mut self, now: Instant) {
        if self.phase == Phase::Idle && (self.settings.families.v4 || self.settings.families.v6) {
            self.phase = Phase::Running;
            self.begin_round(now);
        }
    }

    /// The most peers with everything that a tracker has counted in its last answer.
    pub fn seeds(&self) -> u32 {
        self.trackers.iter().map(|tracker| tracker.seeds).max().unwrap_or(0)
    }

    /// The torrent has become complete in this run; the working tracker is told at once, others when they
    /// are next asked.
    pub fn on_complete(&mut self) {
        self.is_completed = true;
        self.wants_peers = false;
        if self.phase == Phase::Running && self.asked.is_none() {
            self.tell_completed();
        }
    }

    /// Whether more peers would be of use. While they are, trackers are asked sooner than they wish to be,
    /// though never sooner than they allow.
    pub fn set_need(&mut self, wants_peers: bool) {
        self.wants_peers = wants_peers;
    }

    /// There is cause to ask the trackers: at a random moment within `spread`, or as soon after that as they may be
    /// asked again. What is overdue is spread in the same way.
    pub fn hurry(&mut self, now: Instant, spread: Duration) {
        let moment = self.rng.below(spread.as_millis() as usize + 1) as u64;
        let soon = now + Duration::from_millis(moment);
        if self.phase == Phase::Running {
            let usable = self.trackers.iter_mut().filter(|tracker| tracker.is_usable());
            usable.for_each(|tracker| tracker.hurry(now, soon));
        }
    }

    /// Waits no longer for what is under way: it was sent over a network that is no more.
    pub fn abandon(&mut self) {
        if self.phase == Phase::Running && self.asked.take().is_some() {
            for tracker in &mut self.trackers {
                tracker.routes.iter_mut().for_each(|route| route.in_flight = None);
            }
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        match self.phase {
            Phase::Running => self.begin_round(now),
            Phase::Stopping { by, .. } if now >= by => self.give_up_stop(),
            Phase::Stopping { by, .. } => {
                self.phase = Phase::Stopping { grace: by, by };
                self.overtake_by_goodbyes(now);
            }
            Phase::Idle | Phase::Stopped => {}
        }
    }

    /// When [`Announcer::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running if self.asked.is_none() => self.round_at(),
            Phase::Stopping { grace, by } => Some(grace.min(by)),
            Phase::Idle | Phase::Running | Phase::Stopped => None,
        }
    }

    /// A fetch is done.
    pub fn on_http_finished(&mut self, now: Instant, key: FetchKey, result: Result<HttpAnswer, HttpFailure>) {
        let Some((tracker, family)) = self.find(key) else { return };
        let Some((_, event)) = self.trackers[tracker].routes[family].in_flight.take() else { return };
        let outcome = read(result);
        if matches!(self.phase, Phase::Stopping { .. }) {
            if matches!(outcome, Outcome::Answered(..)) {
                self.trackers[tracker].routes[family].on_answer(event);
            }
            if event != Some(Event::Stopped) {
                self.say_goodbye(now, tracker, family);
            }
            self.settle_stop();
            return;
        }
        self.on_outcome(now, tracker, family, event, outcome);
        if !self.trackers[tracker].is_busy() {
            self.finish_attempt(now, tracker);
        }
    }

    /// The next thing to be done or known; `totals` are what an announce tells.
    pub fn poll_output(&mut self, totals: Totals) -> Option<TrackerOutput> {
        match self.outputs.pop_front()? {
            Pending::Output(output) => Some(output),
            Pending::Announce { key, tracker, family, event, timeout } => {
                let tracker = &self.trackers[tracker];
                let is_last = event == Some(Event::Stopped);
                let announce = AnnounceRequest {
                    info_hash: self.settings.info_hash,
                    peer_id: self.settings.peer_id,
                    port: self.settings.port,
                    uploaded: totals.uploaded,
                    downloaded: totals.downloaded,
                    left: totals.left,
                    corrupt: totals.corrupt,
                    key: self.settings.key,
                    event,
                    numwant: if is_last { 0 } else { self.settings.numwant },
                    supports_encryption: self.settings.supports_encryption,
                    tracker_id: tracker.routes[family].tracker_id.clone(),
                };
                let request = HttpRequest {
                    url: announce.url(&tracker.url),
                    family: Some(FAMILIES[family]),
                    loopback: tracker.loopback,
                    limit: limit::TRACKER_ANSWER,
                    timeout,
                };
                Some(TrackerOutput::Fetch { key, request: Box::new(request) })
            }
        }
    }

    /// Whether it has stopped and waits for nothing more.
    pub fn is_idle_after_stop(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Whether there is a tracker that may be asked.
    pub fn has_trackers(&self) -> bool {
        self.trackers.iter().any(|tracker| tracker.standing != Standing::Unusable)
    }

    /// Whether every tracker that may be asked has refused.
    pub fn has_all_refused(&self) -> bool {
        let mut asked =
            self.trackers.iter().filter(|tracker| tracker.standing != Standing::Unusable).peekable();
        asked.peek().is_some()
            && asked.all(|tracker| matches!(tracker.standing, Standing::Refusing | Standing::Dismissed))
    }

    /// When the next round is due.
    fn round_at(&self) -> Option<Instant> {
        if let Some(working) = self.working {
            let tracker = &self.trackers[working];
            let wanted = (self.answered_at + self.step).max(tracker.not_before);
            return Some(if self.wants_peers { wanted.min(tracker.due) } else { tracker.due });
        }
        let usable = self.trackers.iter().filter(|tracker| tracker.is_usable());
        usable.map(|tracker| tracker.not_before).min()
    }

    /// Asks the first tracker that may be asked.
    fn begin_round(&mut self, now: Instant) {
        for tracker in &mut self.trackers {
            tracker.is_tried = false;
        }
        self.ask_next(now);
    }

    /// Asks the next tracker in the round's order, if there is one.
    fn ask_next(&mut self, now: Instant) {
        let next = self.tiers.iter().find(|&index| {
            let tracker = &self.trackers[index];
            tracker.is_usable() && !tracker.is_tried && tracker.not_before <= now
        });
        match next {
            Some(tracker) => self.announce(tracker, |_| true),
            None => self.asked = None,
        }
    }

    /// Announces to a tracker over every family in use whose route passes `wants`.
    fn announce(&mut self, index: usize, wants: impl Fn(&Route) -> bool) {
        self.asked = Some(index);
        let is_completed = self.is_completed;
        let tracker = &mut self.trackers[index];
        tracker.is_tried = true;
        tracker.attempt = Attempt::default();
        let families = [self.settings.families.v4, self.settings.families.v6];
        for family in (0..FAMILIES.len()).filter(|&family| families[family]) {
            let route = &self.trackers[index].routes[family];
            if wants(route) {
                let event = route.event(is_completed);
                self.send(index, family, event, ANNOUNCE_TIMEOUT);
            }
        }
    }

    fn send(&mut self, tracker: usize, family: usize, event: Option<Event>, timeout: Duration) {
        let key = FetchKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        self.trackers[tracker].routes[family].in_flight = Some((key, event));
        self.outputs.push_back(Pending::Announce { key, tracker, family, event, timeout });
    }

    fn find(&self, key: FetchKey) -> Option<(usize, usize)> {
        let routes = self.trackers.iter().enumerate().flat_map(|(index, tracker)| {
            tracker.routes.iter().enumerate().map(move |(family, route)| (index, family, route))
        });
        let mut routes =
            routes.filter(|(_, _, route)| route.in_flight.is_some_and(|(other, _)| other == key));
        routes.next().map(|(index, family, _)| (index, family))
    }

    /// Takes note of what came over one family.
    fn on_outcome(
        &mut self,
        now: Instant,
        index: usize,
        family: usize,
        event: Option<Event>,
        outcome: Outcome,
    ) {
        let tracker = &mut self.trackers[index];
        let route = &mut tracker.routes[family];
        match outcome {
            Outcome::Answered(answer, reach) => {
                route.on_answer(event);
                if answer.tracker_id.is_some() {
                    route.tracker_id = answer.tracker_id;
                }
                tracker.seeds = answer.seeds.unwrap_or(0);
                tracker.on_answer(now, answer.interval, answer.min_interval, &mut self.rng);
                self.outputs.push_back(Pending::Output(TrackerOutput::Answered {
                    tracker: tracker.shown.clone(),
                    peers: answer.peers.len(),
                    warning: answer.warning,
                }));
                if !answer.peers.is_empty() {
                    let peers = TrackerOutput::Peers { addresses: answer.peers, reach };
                    self.outputs.push_back(Pending::Output(peers));
                }
            }
            Outcome::NoSuchFamily => route.is_working = false,
            Outcome::Failed(failure) => {
                route.is_working = false;
                // A refusal says more than a failure to connect.
                let attempt = &mut tracker.attempt;
                if attempt.failure.as_ref().is_none_or(|other| failure.refused && !other.refused) {
                    attempt.failure = Some(failure);
                }
            }
        }
    }

    /// Every family has answered or failed.
    fn finish_attempt(&mut self, now: Instant, index: usize) {
        let tracker = &mut self.trackers[index];
        if tracker.attempt.is_answered {
            self.step = match self.working == Some(index) && self.wants_peers {
                true => self.step.saturating_mul(2).min(tracker.interval),
                false => limit::ANNOUNCE_GAP_MIN,
            };
            self.answered_at = now;
            self.working = Some(index);
            self.asked = None;
            self.tiers.promote(index);
            self.tell_completed();
            return;
        }
        let failure = tracker.attempt.failure.take().unwrap_or_else(|| Failure {
            reason: "it has no address that can be reached from here".to_owned(),
            refused: false,
            retry: None,
        });
        tracker.on_failure(now, &failure, &mut self.rng);
        self.outputs.push_back(Pending::Output(TrackerOutput::Failed {
            tracker: tracker.shown.clone(),
            reason: failure.reason,
            refused: failure.refused,
        }));
        if self.working == Some(index) {
            self.working = None;
        }
        self.ask_next(now);
    }

    /// Tells the working tracker of the completion, unless it knows.
    fn tell_completed(&mut self) {
        let Some(working) = self.working else { return };
        if self.is_completed && self.trackers[working].owes_completed() {
            for tracker in &mut self.trackers {
                tracker.is_tried = false;
            }
            self.announce(working, Route::owes_completed);
        }
    }
}
