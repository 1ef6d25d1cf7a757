//! `kiln build`: the table of contents of a build.

mod ahead;
mod annotations;
mod archive;
mod arguments;
mod call;
mod entitlements;
mod failure;
mod git;
mod http;
pub(crate) mod input;
mod missing;
pub(crate) mod outputs;
mod secrets;
mod ssh;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use dockerfile::{Diagnostics, Dockerfile, Sources};
use plan::{Bases, ContextName, EPOCH_ARGUMENT, Epoch, Op, Plan, RunNetwork};
use registry::Registry;
use solver::{Cancel, Context, Contexts, LocalWorker, Servers, Solution, SolveError, WorkerSettings};
use store::Store;

pub(crate) use arguments::Arguments;

use self::ahead::Ahead;
use super::explain::why_missing;
use super::{enter_namespace, enter_namespace_from};
use crate::account::{self, End};
use crate::emulation;
use crate::error::Failure;
use crate::lint;
use crate::network;
use crate::progress::{self, Progress};
use crate::resolve::{self, Pull};
use crate::settings::{Swept, open_store, registry_options};
use crate::timings::Timings;

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        let options = self.check()?;
        if options.reads_elsewhere() || options.wants_tree() || options.secrets.come_once() {
            // What is read from stdin or a pipe cannot be read again after entering the namespace.
            enter_namespace()?;
        }
        let timings = Arc::new(Timings::begin());
        let (mode, wanted) = (options.progress, options.timings);
        let ended = build(options, root, &timings).inspect_err(|_| timings.show(mode, wanted));
        ended.or_else(|failure| progress::failed(mode, failure))
    }
}

/// All of a build that takes time.
fn build(mut options: arguments::Options, root: Option<PathBuf>, timings: &Arc<Timings>) -> Result<ExitCode, Failure> {
    let mut swept = None;
    let store = timings.measure("open", || open_store(root))?;
    let registry = Registry::new(registry_options(std::mem::take(&mut options.mirrors)));
    let secrets = options.secrets.for_servers()?;
    let servers = Servers { registry: &registry, secrets: &secrets };
    let mut sources = Sources::default();
    let mut input = timings.measure("read", || input::read(&options, &store, servers, &mut sources))?;
    let mut diagnostics = Diagnostics::default();
    let mut dockerfile = timings.measure("parse", || dockerfile::parse(&input.dockerfile, &mut diagnostics));
    lint::take_argument(&mut dockerfile, &options.plan)?;
    if let Some(call) = options.call {
        return call::run(call, &options, &input, &store, &dockerfile, sources, diagnostics);
    }
    failure::stop_on_errors(&diagnostics, &sources)?;
    options.epoch = epoch(&dockerfile, &mut options.plan, &sources, |epoch| input.time(epoch, &store, servers))?;
    dockerfile::lint(&dockerfile, &mut diagnostics);
    failure::stop_on_errors(&diagnostics, &sources)?;
    let mut found = Diagnostics::default();
    let plan = lower(&dockerfile, &options, &store, &registry, &mut sources, &mut found, timings)?;
    let contexts = timings.measure("contexts", || input.contexts(&plan, &store, servers))?;
    if let Some(ignore) = contexts.get(&ContextName::Main).and_then(Context::ignore) {
        found.extend(lint::ignored_copies(&plan, ignore, &sources));
    }
    dockerfile::lint::retain(&dockerfile, &mut found);
    lint::forget_shells(&mut diagnostics, &plan.chosen_shells);
    diagnostics.extend(found);
    let findings = diagnostics.sorted();
    if let Err(violation) = failure::stop_on_lints(&dockerfile, &findings) {
        progress::warnings(options.progress, &findings, &sources);
        return Err(violation);
    }

    timings.name_steps(plan.vertices.iter().map(|vertex| vertex.name.clone()).collect());
    // Said once what has to be entered is entered: inside, everything begins anew.
    let warn = || progress::begun(options.progress, &plan, timings, &findings, &sources);
    let images = options.tags.iter().map(image::Reference::familiar).collect();
    let account = account::Build { plan: &plan, images, timings };
    let known = timings.measure("look up", || solver::known(&plan, &store, &contexts));
    let known = known.map_err(|error| {
        warn();
        failure::solve(error, &plan, &sources)
    })?;
    let (solution, ran) = match known {
        Some(solution) => {
            warn();
            progress::cached(options.progress, &plan, &solution);
            (solution, false)
        }
        None if options.require_cache => {
            return Err(missing::failure(&plan, &options, &store, &contexts, &sources));
        }
        None => {
            enter_namespace_from(&store)?;
            warn();
            let pending =
                || solver::pending(&plan, &store, &contexts).map_err(|error| failure::solve(error, &plan, &sources));
            emulation::check(&plan, &store, &sources, pending)?;
            swept = Some(Swept(store.clone()));
            let work = || solve(&plan, &options, &store, &registry, &contexts, timings);
            let solved = timings.measure("solve", work)?;
            let solution = solved.map_err(|error| {
                account_of_failure(&error, &account, &store, &contexts);
                failure::solve(error, &plan, &sources)
            })?;
            (solution, true)
        }
    };
    let write = || outputs::write(&options, &plan, &solution, &store, &registry, &contexts, timings);
    let results = match timings.measure("export", || progress::exporting(options.progress, write)) {
        // A build that died left layers unpacked whose files only their owners can read: pack them as those.
        Err(failure) if !ran && sandbox::userns::needs_entering() => {
            enter_namespace_from(&store)?;
            return Err(failure);
        }
        Err(failure) => {
            if ran {
                let end = End::Failed { step: None, error: account::short(failure.message()) };
                // The failure that counts is the first one.
                let _ = account.write(&store, &solution, end);
            }
            return Err(failure);
        }
        Ok(results) => results,
    };
    if ran {
        account.write(&store, &solution, End::Done)?;
    }
    drop(swept);
    let store_root = store.root().to_owned();
    timings.show(options.progress, options.timings);
    progress::summary(options.progress, &solution, &results, timings.elapsed());
    let owes_sync = store.leave_sync();
    drop((contexts, input, store));
    if ran {
        crate::collect::automatic(&store_root);
    }
    if owes_sync {
        crate::sync::begin(&store_root)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps how far a build came that failed, and why what failed had to run. Not being able to must not hide the failure.
fn account_of_failure(error: &SolveError, account: &account::Build<'_>, store: &Store, contexts: &Contexts) {
    let missing = solver::missing(account.plan, store, contexts).unwrap_or_default();
    let reasons = missing.iter().filter_map(|missing| {
        let reasons = why_missing(store, account.plan, missing).ok()?;
        Some((missing.vertex, reasons))
    });
    if let Err(failure) = account.write_failed(store, error, &reasons.collect::<Vec<_>>()) {
        tracing::warn!(%failure, "the account of the build could not be written");
    }
}

/// Finds out `SOURCE_DATE_EPOCH`. The time of a context or stage takes the place of its name among the arguments; if it has
/// none, nothing does.
fn epoch(
    dockerfile: &Dockerfile,
    options: &mut plan::Options,
    sources: &Sources,
    time: impl FnOnce(&Epoch) -> Result<Option<i64>, Failure>,
) -> Result<Option<i64>, Failure> {
    let mut diagnostics = Diagnostics::default();
    let found = plan::epoch(dockerfile, options, &mut diagnostics);
    failure::stop_on_errors(&diagnostics, sources)?;
    let Some(found) = found else { return Ok(None) };
    let time = time(&found).map_err(|failure| failure.context(format!("failed to find out {EPOCH_ARGUMENT}")))?;
    options.build_args.extend(time.map(|seconds| (EPOCH_ARGUMENT.to_owned(), seconds.to_string())));
    Ok(time)
}

/// Resolves base images and lowers. Triggers of a base may need further images, so this goes round until none is missing.
fn lower(
    dockerfile: &Dockerfile,
    options: &arguments::Options,
    store: &Store,
    registry: &Registry,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
    timings: &Timings,
) -> Result<Plan, Failure> {
    let pull = if options.pull { Pull::Always } else { Pull::Missing };
    let mut known = Bases::new();
    loop {
        let missing = plan::bases(dockerfile, &known, &options.plan, sources, diagnostics);
        failure::stop_on_errors(diagnostics, sources)?;
        if missing.is_empty() {
            break;
        }
        for (key, answer) in timings.measure("resolve", || resolve::bases(store, registry, &missing, pull))? {
            let base = answer.map_err(|error| failure::base(error, &key, &missing, sources))?;
            known.insert(key, base);
        }
    }
    let plan = timings.measure("lower", || plan::lower(dockerfile, &known, &options.plan, sources, diagnostics));
    failure::stop_on_errors(diagnostics, sources)?;
    plan.ok_or_else(|| Failure::new("the Dockerfile could not be lowered"))
}

/// Runs what has to run, with progress shown and Ctrl-C ending the steps.
fn solve(
    plan: &Plan,
    options: &arguments::Options,
    store: &Store,
    registry: &Registry,
    contexts: &Contexts,
    timings: &Arc<Timings>,
) -> Result<Result<Solution, SolveError>, Failure> {
    let (ahead, layers) =
        outputs::needs_digest(options).then(|| Ahead::start(store, plan, outputs::pack_options(options))).unzip();
    let agents = options.agents.start(store)?;
    let needs_network = |op: &Op| matches!(op, Op::Run(run) if run.network == RunNetwork::Default);
    let (events, receiver) = mpsc::channel();
    let private_network = if plan.vertices.iter().any(|vertex| needs_network(&vertex.op)) {
        let warn = |lack| events.send(solver::no_private_network(lack));
        network::private().map_err(warn).ok()
    } else {
        None
    };
    let settings = WorkerSettings {
        resolv_conf: network::resolv_conf(),
        private_network,
        secrets: options.secrets.read()?,
        agents: agents.sockets(),
        layers,
        ..WorkerSettings::default()
    };
    let worker = LocalWorker::new(store, registry, contexts, settings)?;
    let cancel = Cancel::default();
    let guard = crate::signals::cancel_on_interrupt(&cancel)?;
    let progress = Progress::start(options.progress, plan, receiver, timings);
    let solution = solver::solve(plan, &worker, &events, &cancel);
    drop(events);
    progress.finish();
    drop((guard, worker, agents));
    if let (Some(ahead), Ok(_)) = (ahead, &solution) {
        ahead.finish();
    }
    Ok(solution)
}
