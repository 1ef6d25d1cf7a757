//! A store, a context and a base image.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use dockerfile::ignore::Ignore;
use dockerfile::{Diagnostics, Sources};
use image::manifest::Manifest;
use image::{Digest, Entry, ImageConfig, LayerPath, Platform};
use plan::{Bases, ContextName, Options, Plan, ResolvedBase};
use registry::Registry;
use solver::{Cancel, Context, Contexts, Event, LocalWorker, Outcome, Solution, SolveError, WorkerSettings};
use store::{LayerId, Tree};
use testkit::TempStore;

const BUSYBOX: &str = "/bin/busybox";
const TOOLS: [&str; 24] = [
    "sh", "cat", "echo", "ls", "mkdir", "rm", "touch", "stat", "id", "sleep", "cp", "mv", "ln", "chmod", "chown",
    "env", "hostname", "grep", "wc", "true", "false", "test", "find", "sort",
];

/// Returns what is missing on this machine.
pub(crate) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    if !Path::new(BUSYBOX).exists() {
        return Some("no /bin/busybox (Debian: busybox-static)");
    }
    None
}

pub(crate) struct Env {
    pub(crate) store: TempStore,
    pub(crate) context: PathBuf,
    pub(crate) ignore: String,
    pub(crate) base: ResolvedBase,
    registry: Registry,
}

/// What a build gave.
pub(crate) struct Built {
    pub(crate) plan: Plan,
    pub(crate) solution: Solution,
    pub(crate) events: Vec<Event>,
    pub(crate) tree: Tree,
}

impl Env {
    pub(crate) fn new() -> Self {
        let store = testkit::store();
        let context = store.directory().join("context");
        fs::create_dir(&context).unwrap();
        let base = base(&store);
        Self { store, context, ignore: String::new(), base, registry: Registry::new(registry::Options::default()) }
    }

    pub(crate) fn file(&self, at: &str, data: impl AsRef<[u8]>) -> &Self {
        let at = self.context.join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, data).unwrap();
        self
    }

    pub(crate) fn plan(&self, text: &str) -> Plan {
        self.plan_with(text, |_| {})
    }

    pub(crate) fn plan_with(&self, text: &str, change: impl FnOnce(&mut Options)) -> Plan {
        let mut options = Options {
            target: None,
            build_args: BTreeMap::new(),
            labels: Vec::new(),
            contexts: BTreeMap::new(),
            platforms: Vec::new(),
            build_platform: Platform::host(),
            no_cache: false,
            no_cache_filter: Default::default(),
            network: Default::default(),
            entitlements: Default::default(),
            limits: Default::default(),
        };
        change(&mut options);
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let source = sources.add("Dockerfile", text);
        let dockerfile = dockerfile::parse(&source, &mut diagnostics);
        let mut bases = Bases::new();
        loop {
            let requests = plan::bases(&dockerfile, &bases, &options, &mut sources, &mut diagnostics);
            if requests.is_empty() {
                break;
            }
            bases.extend(requests.into_iter().map(|request| (request.key, self.base.clone())));
        }
        let plan = plan::lower(&dockerfile, &bases, &options, &mut sources, &mut diagnostics);
        plan.unwrap_or_else(|| panic!("{:?}", diagnostics.items()))
    }

    pub(crate) fn contexts(&self) -> Contexts {
        let ignore = Ignore::parse(self.ignore.as_bytes()).unwrap();
        let context = Context::open(&self.context, ignore, &self.store).unwrap();
        [(ContextName::Main, context)].into_iter().collect()
    }

    pub(crate) fn known(&self, plan: &Plan) -> Option<Solution> {
        self.try_known(plan).unwrap()
    }

    pub(crate) fn try_known(&self, plan: &Plan) -> Result<Option<Solution>, SolveError> {
        solver::known(plan, &self.store, &self.contexts())
    }

    pub(crate) fn solve(
        &self,
        plan: &Plan,
        cancel: &Cancel,
        mut listen: impl FnMut(&Event) + Send,
    ) -> (Result<Solution, SolveError>, Vec<Event>) {
        let contexts = self.contexts();
        let settings = WorkerSettings { resolv_conf: b"nameserver 192.0.2.1\n".to_vec(), ..WorkerSettings::default() };
        let worker = LocalWorker::new(&self.store, &self.registry, &contexts, settings).unwrap();
        let (sender, receiver) = channel();
        std::thread::scope(|scope| {
            let listener = scope.spawn(move || receiver.into_iter().inspect(|event| listen(event)).collect());
            let result = solver::solve(plan, &worker, &sender, cancel);
            drop(sender);
            (result, listener.join().unwrap())
        })
    }

    #[track_caller]
    pub(crate) fn build(&self, text: &str) -> Built {
        self.build_plan(self.plan(text))
    }

    #[track_caller]
    pub(crate) fn build_plan(&self, plan: Plan) -> Built {
        let (result, events) = self.solve(&plan, &Cancel::new(), |_| {});
        let solution = result.unwrap_or_else(|error| panic!("{error}: {events:?}"));
        let tree = self.tree(&solution);
        Built { plan, solution, events, tree }
    }

    #[track_caller]
    pub(crate) fn fails(&self, text: &str) -> SolveError {
        match self.solve(&self.plan(text), &Cancel::new(), |_| {}) {
            (Err(error), _) => error,
            (Ok(_), events) => panic!("it was built: {events:?}"),
        }
    }

    pub(crate) fn tree(&self, solution: &Solution) -> Tree {
        let snapshot = &solution.targets[0];
        let mut layers: Vec<LayerId> = Vec::new();
        if snapshot.base.is_some() {
            let diff_ids = self.base.config.diff_ids().iter();
            layers.extend(diff_ids.map(|diff_id| self.store.layer_of_diff_id(diff_id).unwrap().unwrap()));
        }
        layers.extend(snapshot.layers.iter().map(|layer| layer.layer.clone()));
        self.store.tree(&layers).unwrap()
    }
}

impl Built {
    pub(crate) fn entry(&self, at: &str) -> Option<Entry> {
        self.tree.get(&LayerPath::clamped(at.as_bytes()).unwrap())
    }

    #[track_caller]
    pub(crate) fn read(&self, at: &str) -> String {
        let mut text = String::new();
        let mut file = self.tree.open(&LayerPath::clamped(at.as_bytes()).unwrap()).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    /// Mode and owner.
    #[track_caller]
    pub(crate) fn stat(&self, at: &str) -> String {
        let metadata = self.entry(at).unwrap_or_else(|| panic!("{at} is missing")).metadata;
        format!("{:o} {}:{}", metadata.mode, metadata.uid, metadata.gid)
    }

    /// The paths in the layer of the vertex whose name holds `what`.
    #[track_caller]
    pub(crate) fn layer(&self, env: &Env, what: &str) -> Vec<String> {
        let layer = self.layer_id(what);
        let index = env.store.layer(&layer).unwrap().index().unwrap();
        index.entries().iter().map(|entry| entry.path.to_string()).collect()
    }

    #[track_caller]
    pub(crate) fn layer_id(&self, what: &str) -> LayerId {
        let layers = &self.solution.targets[0].layers;
        let found = layers.iter().find(|layer| self.plan.vertices[layer.vertex.index()].name.contains(what));
        found.unwrap_or_else(|| panic!("no {what}")).layer.clone()
    }

    /// The outcome of the vertex whose name holds `what`.
    #[track_caller]
    pub(crate) fn outcome(&self, what: &str) -> Outcome {
        let at = self.plan.vertices.iter().position(|vertex| vertex.name.contains(what));
        self.solution.vertices[at.unwrap_or_else(|| panic!("no {what}"))].outcome
    }

    /// Names of the vertices whose op ran.
    pub(crate) fn ran(&self) -> Vec<&str> {
        let vertices = self.plan.vertices.iter().zip(&self.solution.vertices);
        vertices.filter(|(_, report)| !report.hit()).map(|(vertex, _)| vertex.name.as_str()).collect()
    }
}

/// Makes an image of one layer.
fn base(store: &store::Store) -> ResolvedBase {
    let layer = rootfs();
    let diff_id = Digest::of(&layer);
    store.put_blob(Some((diff_id, layer.len() as u64)), &mut &*layer).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{diff_id}","size":{}}}]}}"#,
        Digest::of(config.as_bytes()),
        config.len(),
        layer.len(),
    );
    let manifest = Manifest::parse(manifest.into_bytes(), None).unwrap();
    ResolvedBase {
        reference: "base".parse().unwrap(),
        descriptor: manifest.descriptor(),
        manifest: manifest.as_image().unwrap().clone(),
        config: ImageConfig::parse(config.as_bytes()).unwrap(),
    }
}

fn rootfs() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, data: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(data.len() as u64);
        match link {
            Some(link) => tar.append_link(&mut header, path, link).unwrap(),
            None => tar.append_data(&mut header, path, data).unwrap(),
        }
    };
    use tar::EntryType::{Directory, Regular, Symlink};
    for (directory, mode) in [("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("data", 0o750)] {
        add(directory, Directory, mode, b"", None);
    }
    add("bin/busybox", Regular, 0o755, &fs::read(BUSYBOX).unwrap(), None);
    for tool in TOOLS {
        add(&format!("bin/{tool}"), Symlink, 0o777, b"", Some("busybox"));
    }
    add("etc/passwd", Regular, 0o644, b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/data:/bin/sh\n", None);
    add("etc/group", Regular, 0o644, b"root:x:0:\nstaff:x:50:app\n", None);
    add("srv", Symlink, 0o777, b"", Some("/data"));
    tar.into_inner().unwrap()
}
