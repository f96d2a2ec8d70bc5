//! The loop of a run: notices, ticks, fetches and signals, until every target is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::goals::Service;
use super::job::{Active, Job, State};
use super::patience::{GivenUp, Patience};
use super::words::{Teller, done, failed, left, missing_files};
use super::{Content, Source, look_up};
use crate::base::hash::InfoHashes;
use crate::base::limit;
use crate::base::size::size;
use crate::base::time::Duration;
use crate::cli::args::StopWhen;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::interrupts::{Interrupt, Interrupts, POLITE_END, pause};
use crate::cli::output::escape::{escape, escape_bytes, escape_sentence};
use crate::cli::output::format;
use crate::cli::output::progress::{Progress, Tally, View};
use crate::cli::output::screen::{Mode, Paint, Screen};
use crate::cli::settings::Settings;
use crate::cli::torrent_file;
use crate::engine::notice::{Notice, TorrentFailure};
use crate::engine::order::TorrentId;
use crate::engine::snapshot::Detail;
use crate::metainfo::Metainfo;
use crate::metainfo::safe_path::PART_SUFFIX;
use crate::runtime::client::Client;
use crate::runtime::http::TorrentFetcher;

/// Between two looks at how it goes; bars are redrawn as often.
const TICK: Duration = Duration::from_millis(200);
/// The same while nothing is left to do but seed.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Unfinished targets that are told of one by one when a signal ends the run.
const LEFT_NAMED: usize = 8;

/// Downloads `sources` as `settings` say; ends when each is complete or has failed, or with a signal.
pub async fn download(
    settings: Settings,
    sources: Vec<Source>,
    screen: &Screen,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, CliError> {
    let fetcher = TorrentFetcher::over(settings.family());
    let peers = tokio::select! {
        peers = look_up(&settings.peers, settings.client.engine.families, screen) => peers,
        code = interrupts.stop() => return Ok(code),
    };
    if !settings.seeding.is_wanted() {
        let idle = [
            (settings.seeding.super_seed, "--super"),
            (settings.seeding.stop_when == StopWhen::All, "--stop-when"),
        ];
        for (_, flag) in idle.iter().filter(|(is_given, _)| *is_given) {
            screen.warn(&format!("{flag} does nothing without --seed or a goal for it, such as --ratio"));
        }
    }
    let client = Client::start(settings.client.clone())?;
    let mut run = Run {
        progress: Progress::new(screen),
        screen: screen.clone(),
        start: Instant::now(),
        settings,
        peers,
        client,
        jobs: Vec::new(),
        by_torrent: BTreeMap::new(),
        fetcher: Arc::new(fetcher),
        fetches: JoinSet::new(),
        teller: Teller::default(),
        claimed: BTreeMap::new(),
        answered: false,
        has_said_waiting: false,
    };
    for source in sources {
        run.add_source(source);
    }
    run.start_queued();
    let signal = run.until_over(interrupts).await?;
    run.finish(signal, interrupts).await
}

struct Run {
    settings: Settings,
    screen: Screen,
    progress: Progress,
    start: Instant,
    /// The peers that the person named.
    peers: Vec<SocketAddr>,
    client: Client,
    /// In the order of the command line.
    jobs: Vec<Job>,
    /// Which job a torrent of the client's is.
    by_torrent: BTreeMap<TorrentId, usize>,
    fetcher: Arc<TorrentFetcher>,
    /// Torrent files on their way, by job.
    fetches: JoinSet<(usize, Result<Vec<u8>, String>)>,
    teller: Teller,
    /// Names in the download folder that are some job's, and which torrent that is.
    claimed: BTreeMap<String, InfoHashes>,
    /// Whether a tracker or a peer has answered in this run.
    answered: bool,
    /// Whether it has been said that some targets wait.
    has_said_waiting: bool,
}

impl Run {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn add_source(&mut self, source: Source) {
        let index = self.jobs.len();
        self.jobs.push(Job {
            name: source.shown,
            state: State::Fetching,
            folder: source.folder,
            is_damaged: false,
            seems_complete: false,
            snapshot: None,
        });
        match source.content {
            Content::Torrent(metainfo) => self.queue(index, *metainfo),
            Content::Refused(error) => self.fail(index, &error),
            Content::Url(url) => {
                let fetcher = self.fetcher.clone();
                self.fetches.spawn(async move {
                    let bytes = fetcher.fetch(&url, limit::TORRENT_FILE as usize).await;
                    (index, bytes.map_err(|error| error.to_string()))
                });
            }
        }
    }

    fn on_fetched(&mut self, index: usize, fetched: Result<Vec<u8>, String>) {
        if !matches!(self.jobs[index].state, State::Fetching) {
            return;
        }
        let shown = self.jobs[index].name.clone();
        match fetched {
            Err(error) => {
                let error = format!("{shown}: {}", escape_sentence(&error));
                self.fail(index, &CliError::new(ExitCode::Network, error));
            }
            Ok(bytes) => match torrent_file::parse(&bytes, &shown) {
                Ok(metainfo) => self.queue(index, metainfo),
                Err(error) => self.fail(index, &CliError::new(ExitCode::BadTorrent, error.to_string())),
            },
        }
        self.start_queued();
    }

    /// Takes a torrent that is known now, if it can be downloaded and nobody has its place.
    fn queue(&mut self, index: usize, metainfo: Metainfo) {
        let name = self.settings.name.clone().unwrap_or_else(|| metainfo.name.clone());
        let shown = std::mem::replace(&mut self.jobs[index].name, escape(&name));
        if metainfo.info_hashes.v1.is_none() {
            let error = format!("{shown}: a torrent of version 2 alone cannot be downloaded yet");
            return self.fail(index, &CliError::new(ExitCode::BadTorrent, error));
        }
        let name = if cfg!(target_os = "macos") { name.to_lowercase() } else { name };
        let names = [name.clone() + PART_SUFFIX, name];
        if let Some(other) = names.iter().find_map(|name| self.claimed.get(name)) {
            if *other == metainfo.info_hashes {
                let error = format!("{shown}: the same torrent was given before");
                return self.fail(index, &CliError::new(ExitCode::Exists, error));
            }
            let error = format!("{shown}: another target already goes to {}", self.jobs[index].name);
            let error = CliError::new(ExitCode::Exists, error);
            return self.fail(index, &error.with_hint("download it by itself, with --output or --dir"));
        }
        self.claimed.extend(names.map(|name| (name, metainfo.info_hashes)));
        let new = self.settings.new_torrent(metainfo, &self.peers);
        let job = &mut self.jobs[index];
        job.seems_complete = self.settings.seeding.is_wanted() && new.looks_complete(job.folder.as_deref());
        job.state = State::Queued(Box::new(new));
    }

    /// Gives queued torrents to the client, as many as may run: so many downloads, and beside them as many of those
    /// that are to be seeded and seem to lack nothing. For these a download that gets nowhere is no reason to wait.
    fn start_queued(&mut self) {
        let (mut active, mut waiting) = ([0, 0], 0);
        for job in self.jobs.iter().filter(|job| job.is_active()) {
            active[usize::from(job.seems_complete)] += 1;
        }
        for index in 0..self.jobs.len() {
            let job = &mut self.jobs[index];
            let active = &mut active[usize::from(job.seems_complete)];
            if *active >= self.settings.active {
                waiting += usize::from(matches!(job.state, State::Queued(_)));
                continue;
            }
            if !matches!(job.state, State::Queued(_)) {
                continue;
            }
            let State::Queued(new) = std::mem::replace(&mut job.state, State::Fetching) else {
                continue;
            };
            let mut new = *new;
            if self.screen.mode() == Mode::Lines {
                let files = new.metainfo.payload_files().count();
                let size = size(new.metainfo.total_size);
                self.screen.say(&format!("{}: {size} in {}", job.name, format::count(files, "file")));
            }
            if let Some(folder) = job.folder.as_ref().filter(|_| self.settings.seeding.is_wanted())
                && new.look_in(folder)
            {
                let folder = escape_bytes(folder.as_os_str().as_encoded_bytes());
                self.screen.detail(&format!("{}: its data is in {folder}", job.name));
            }
            let metainfo = self.settings.seeding.seed_only.then(|| new.metainfo.clone());
            let torrent = self.client.add(new);
            let since = self.start.elapsed();
            *active += 1;
            self.by_torrent.insert(torrent, index);
            job.state = State::Active(Active { torrent, since, patience: Patience::new(since), metainfo });
        }
        self.say_waiting(waiting);
    }

    /// Says once that some wait, if they are to be seeded: until their turn comes nobody can take them.
    fn say_waiting(&mut self, waiting: usize) {
        if waiting > 0
            && self.settings.seeding.is_wanted()
            && !std::mem::replace(&mut self.has_said_waiting, true)
        {
            let waiting = format::count(waiting, "target");
            self.screen.say(&format!("waiting for their turn: {waiting} (-j {})", self.settings.active));
        }
    }

    fn is_over(&self) -> bool {
        let is_ended = |job: &Job| matches!(job.state, State::Ended(_));
        let has_failed = |job: &Job| is_ended(job) && !job.is_done();
        self.jobs.iter().all(is_ended)
            || self.settings.giving_up.fail_fast && self.jobs.iter().any(has_failed)
    }

    /// The exit code if a signal stops it now; `None`: the signal's own.
    fn code_if_stopped(&self) -> Option<ExitCode> {
        let has_goal = self.settings.seeding.has_goal();
        let is_unfinished =
            |job: &Job| job.is_pending() || has_goal && matches!(job.state, State::Seeding(..));
        (!self.jobs.iter().any(is_unfinished)).then(|| ExitCode::of_all(self.jobs.iter().map(Job::code)))
    }

    /// Runs until every target is over, or a signal asks to stop.
    async fn until_over(&mut self, interrupts: &mut Interrupts) -> Result<Option<ExitCode>, CliError> {
        let mut next_tick = Instant::now();
        while !self.is_over() {
            tokio::select! {
                notice = self.client.notice() => match notice {
                    Some(notice) => self.on_notice(notice).await,
                    None => return Err(CliError::new(ExitCode::Error, "the client has stopped by itself")),
                },
                Some(fetched) = self.fetches.join_next(), if !self.fetches.is_empty() => {
                    if let Ok((index, fetched)) = fetched {
                        self.on_fetched(index, fetched);
                    }
                }
                () = sleep_until(next_tick.into()) => {
                    self.on_tick().await;
                    interrupts.set_code(self.code_if_stopped());
                    let is_idle = !self.jobs.iter().any(Job::is_pending);
                    next_tick = Instant::now() + if is_idle { IDLE_TICK } else { TICK };
                }
                interrupt = interrupts.next() => match interrupt {
                    Interrupt::Stop(code) => return Ok(Some(code)),
                    Interrupt::Status => {
                        let (views, tally) = views(&self.jobs);
                        self.progress.say_status(&views, tally);
                    }
                    Interrupt::Announce => self.client.announce(),
                    Interrupt::Pause => {
                        self.progress.clear();
                        self.screen.flush();
                        pause();
                    }
                },
            }
        }
        Ok(None)
    }

    async fn on_notice(&mut self, notice: Notice) {
        self.answered |= match &notice {
            Notice::TrackerAnswered { .. } | Notice::PeerConnected { .. } => true,
            Notice::TrackerFailed { refused, .. } => *refused,
            _ => false,
        };
        let torrent = notice.torrent();
        let Some(index) = self.job_of(torrent) else { return };
        self.teller.tell(&self.screen, &self.jobs[index].name, &notice);
        match notice {
            Notice::Checked { have, pieces, .. } if have < pieces && self.settings.seeding.super_seed => {
                self.jobs[index].seems_complete = false;
                let name = &self.jobs[index].name;
                let text = "not everything is here, so it is no first seed: it trades as if without --super";
                self.screen.warn(&format!("{name}: {text}"));
            }
            Notice::Checked { have, pieces, .. } if have < pieces => self.jobs[index].seems_complete = false,
            Notice::Complete { .. } => self.complete(index, torrent).await,
            Notice::FileLost { .. } => self.jobs[index].is_damaged = true,
            Notice::Failed { failure, .. } => {
                let job = &self.jobs[index];
                if let (TorrentFailure::Incomplete(missing), State::Active(active)) = (&failure, &job.state) {
                    let lines = active.metainfo.iter().flat_map(|metainfo| missing_files(missing, metainfo));
                    lines.for_each(|line| self.screen.say(&line));
                }
                let error = failed(&job.name, &failure);
                self.client.stop(torrent);
                self.fail(index, &error);
                self.start_queued();
            }
            Notice::Stopped { .. } if !matches!(self.jobs[index].state, State::Ended(_)) => {
                let error = format!("{}: stopped", self.jobs[index].name);
                self.fail(index, &CliError::new(ExitCode::Error, error));
                self.start_queued();
            }
            _ => {}
        }
    }

    /// The job that a torrent is, while the client has it.
    fn job_of(&self, torrent: TorrentId) -> Option<usize> {
        let index = *self.by_torrent.get(&torrent)?;
        (self.jobs[index].torrent() == Some(torrent)).then_some(index)
    }

    async fn complete(&mut self, index: usize, torrent: TorrentId) {
        if let Some(seen) = self.client.torrent(torrent).await {
            self.jobs[index].snapshot = Some(seen);
        }
        let now = self.now();
        let job = &mut self.jobs[index];
        let State::Active(active) = &job.state else { return };
        let began = active.patience.downloading_since().unwrap_or(active.since);
        let time = now.saturating_sub(began);
        let text = job.snapshot.as_ref().map_or("done".to_owned(), |torrent| done(torrent, time));
        self.screen.say(&format!("{}: {}", job.name, self.screen.painted(Paint::Green, &text)));
        if self.settings.seeding.is_wanted() {
            let uploaded = job.snapshot.as_ref().map_or(0, |torrent| torrent.uploaded);
            job.state = State::Seeding(torrent, Service::new(now, uploaded));
        } else {
            job.state = State::Ended(ExitCode::Ok);
            self.client.stop(torrent);
        }
        self.start_queued();
    }

    async fn on_tick(&mut self) {
        self.look().await;
        // What led to this is said before what follows from it.
        while let Some(notice) = self.client.ready_notice() {
            self.on_notice(notice).await;
        }
        let now = self.now();
        let timeout = self.settings.giving_up.timeout.filter(|limit| now >= *limit);
        for index in 0..self.jobs.len() {
            let job = &mut self.jobs[index];
            let given_up = match (&mut job.state, &job.snapshot) {
                (State::Seeding(torrent, service), Some(seen)) => {
                    if let Some(met) = service.check(now, seen, &self.settings.seeding) {
                        self.screen.say(&format!("{}: seeded: {met}", job.name));
                        self.client.stop(*torrent);
                        job.state = State::Ended(ExitCode::Ok);
                    }
                    None
                }
                (State::Seeding(..) | State::Ended(_), _) => None,
                _ if timeout.is_some() => timeout.map(GivenUp::Timeout),
                (State::Active(active), Some(torrent)) => {
                    let limits = &self.settings.giving_up;
                    active.patience.check(now, torrent, limits, self.answered, self.peers.is_empty())
                }
                _ => None,
            };
            if let Some(given_up) = given_up {
                self.give_up(index, given_up);
            }
        }
        self.start_queued();
        let (views, tally) = views(&self.jobs);
        self.progress.update(now, &views, tally);
    }

    fn give_up(&mut self, index: usize, given_up: GivenUp) {
        let job = &self.jobs[index];
        let mut text = format!("{}: {}", job.name, given_up.words());
        if let Some(torrent) = &job.snapshot {
            if let Some(reason) = torrent.waiting.filter(|_| given_up != GivenUp::Refused) {
                text.push_str(&format!(": {reason}"));
            }
            if torrent.verified > 0 {
                let here = format::percent(torrent.verified, torrent.total);
                text.push_str(&format!("; {here} is here and is kept"));
            }
        }
        if let Some(torrent) = job.torrent() {
            self.client.stop(torrent);
        }
        self.fail(index, &CliError::new(given_up.code(), text));
    }

    fn fail(&mut self, index: usize, error: &CliError) {
        self.screen.error(error);
        self.jobs[index].state = State::Ended(error.code);
    }

    /// Asks the client how all torrents are doing.
    async fn look(&mut self) {
        if self.jobs.iter().all(|job| job.torrent().is_none()) {
            return;
        }
        for torrent in self.client.snapshot(Detail::Totals).await.torrents {
            if let Some(index) = self.job_of(torrent.torrent) {
                self.jobs[index].snapshot = Some(torrent);
            }
        }
    }

    /// Stops everything; a second signal cuts that short.
    async fn finish(
        mut self,
        signal: Option<ExitCode>,
        interrupts: &mut Interrupts,
    ) -> Result<ExitCode, CliError> {
        self.progress.clear();
        let (_, tally) = views(&self.jobs);
        let code_if_stopped = self.code_if_stopped();
        // With --fail-fast some targets are left as they are: they count neither as done nor as failed.
        let settled = self.jobs.iter().filter(|job| !job.is_pending()).map(Job::code);
        let code = match signal {
            Some(code) => code_if_stopped.unwrap_or(code),
            None => ExitCode::of_all(settled),
        };
        interrupts.set_code(code_if_stopped.or(signal.is_none().then_some(code)));
        if signal.is_some() {
            self.screen.say("stopping (once more: at once)");
            let unfinished: Vec<&Job> = self.jobs.iter().filter(|job| job.is_pending()).collect();
            if unfinished.len() <= LEFT_NAMED {
                unfinished
                    .iter()
                    .filter_map(|job| left(&job.name, job.snapshot.as_ref()?))
                    .for_each(|line| self.screen.say(&line));
            }
        }
        if tally.all > 1 {
            let failed = if tally.failed > 0 { format!(", {} failed", tally.failed) } else { String::new() };
            self.screen.say(&format!("{} of {} done{failed}", tally.done, tally.all));
        }
        self.teller.sum_up(&self.screen);
        self.fetches.abort_all();
        tokio::select! {
            () = self.client.shut_down(POLITE_END) => Ok(code),
            again = interrupts.stop() => Ok(if signal.is_some() { code_if_stopped.unwrap_or(again) } else { code }),
        }
    }
}

/// What there is to show of `jobs`.
fn views(jobs: &[Job]) -> (Vec<View<'_>>, Tally) {
    let with_client = jobs.iter().enumerate().filter(|(_, job)| job.torrent().is_some());
    let views = with_client
        .filter_map(|(index, job)| Some(View { index, name: &job.name, torrent: job.snapshot.as_ref()? }));
    let done = jobs.iter().filter(|job| job.is_done()).count();
    let pending = jobs.iter().filter(|job| job.is_pending()).count();
    let all = jobs.len();
    (views.collect(), Tally { all, done, failed: all - done - pending })
}
