//! The binary as a process: started on a data directory, read, interrupted, killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use openledger_engine::format::DType;
use openledger_testkit::TinySpec;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::TempDir;

/// Longest wait for anything that a healthy node does.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Name of the data directory inside a home; relative, so that a home can be copied.
const DATA: &str = "node";
/// Epochs of a second, so that settlement goes on while a test looks.
pub const FAST_EPOCHS: &str = "epoch_seconds = 1\nchallenge_window_s = 1\n";

/// A folder with the tiny model and a data directory.
pub struct Home {
    root: PathBuf,
    /// Removes the folder with the home; `None` where somebody else does.
    _temporary: Option<TempDir>,
}

/// What a program that ended has left.
pub struct Ended {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Home {
    /// A new home; `config` is its `openledger.toml`.
    pub fn new(config: &str) -> Self {
        Self::temporary().furnished(config)
    }

    /// A new home in `root`, which stays.
    pub fn at(root: PathBuf, config: &str) -> Self {
        std::fs::create_dir_all(&root).unwrap();
        Self { root, _temporary: None }.furnished(config)
    }

    fn temporary() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self { root: temporary.path().to_owned(), _temporary: Some(temporary) }
    }

    fn furnished(self, config: &str) -> Self {
        let home = self;
        TinySpec::default().write_gguf(&home.path("tiny.gguf"), DType::Q8_0).unwrap();
        std::fs::create_dir(home.data()).unwrap();
        std::fs::write(home.data().join("openledger.toml"), config).unwrap();
        home
    }

    /// A copy of a home whose node has stopped.
    pub fn copy_of(other: &Path) -> Self {
        let home = Self::temporary();
        copy(other, home.root());
        home
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path(DATA)
    }

    fn up(&self, arguments: &[&str]) -> Command {
        self.up_where("", arguments)
    }

    /// The command, in a shell that has run `preparation`.
    fn up_where(&self, preparation: &str, arguments: &[&str]) -> Command {
        // Under a limit on file sizes a write fails, as on a full disk; without this it would end the program.
        let mut command = Command::new("sh");
        let script = format!(r#"trap '' XFSZ; {preparation} exec "$0" "$@""#);
        command.args(["-c", &script, env!("CARGO_BIN_EXE_openledger")]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPENLEDGER_")) {
            command.env_remove(name);
        }
        command.current_dir(self.root()).stdin(Stdio::null());
        // A flag given twice would be refused, so the defaults stand back.
        let defaults = [
            ("--model", "tiny.gguf"),
            ("--rpc-listen", "127.0.0.1:0"),
            ("--http-listen", "127.0.0.1:0"),
            ("--block-time-s", "0"),
        ];
        command.args(["up", "--data-dir", DATA]).args(arguments);
        for (flag, value) in defaults.into_iter().filter(|(flag, _)| !arguments.contains(flag)) {
            command.args([flag, value]);
        }
        command
    }

    /// Starts a node and waits until it has announced its addresses.
    pub fn start(&self, arguments: &[&str]) -> Node {
        let log = self.path("stderr.log");
        let mut command = self.up(arguments);
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut node = Node { child, lines, log, rpc: String::new(), gateway: String::new() };
        node.rpc = node.announced("chain RPC");
        node.gateway = node.announced("gateway");
        node
    }

    /// Runs a node that must not start.
    pub fn refused(&self, arguments: &[&str]) -> Ended {
        let log = self.path("refused.log");
        let mut command = self.up(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let status = wait_for_end(&mut child);
        Ended { status, stderr: std::fs::read_to_string(log).unwrap() }
    }

    /// Runs a node on a disk that has no room for a single byte.
    pub fn start_without_room(&self) -> ExitStatus {
        let mut command = self.up_where("ulimit -f 0;", &[]);
        wait_for_end(&mut command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

/// A running node; it is killed when dropped.
pub struct Node {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
    pub rpc: String,
    pub gateway: String,
}

impl Node {
    /// The URL on the line that begins with `label`.
    fn announced(&mut self, label: &str) -> String {
        let line = self.line_with(label);
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        url.unwrap_or_else(|| panic!("no URL on the line {line:?}")).to_owned()
    }

    /// Reads lines until one holds `text`.
    pub fn line_with(&mut self, text: &str) -> String {
        let until = Instant::now() + WAIT_MAX;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?} in time: {}", self.stderr()),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without a line with {text:?}: {}", self.stderr()),
            }
        }
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A URL of the gateway.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.gateway)
    }

    /// Stands in for a disk that is full, or has room again: the most bytes that a file of this node can have.
    pub fn limit_file_bytes(&self, current: Option<u64>) {
        let process = Pid::from_child(&self.child);
        let maximum = getrlimit(Resource::Fsize).maximum;
        prlimit(Some(process), Resource::Fsize, Rlimit { current, maximum }).unwrap();
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What Ctrl-C sends, and again when the node says that it stops; gives the exit status.
    pub fn interrupt_twice(mut self) -> ExitStatus {
        send_interrupt(&self.child);
        self.line_with("stopping");
        send_interrupt(&self.child);
        wait_for_end(&mut self.child)
    }

    /// What Ctrl-C sends; gives the exit status and the last line.
    pub fn interrupt(mut self) -> (ExitStatus, String) {
        send_interrupt(&self.child);
        let last = self.line_with("stopped");
        (wait_for_end(&mut self.child), last)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Ctrl-C sends.
pub fn send_interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub fn wait_for_end(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(PAUSE);
    }
    let _ = child.kill();
    panic!("the program did not end within {WAIT_MAX:?}");
}

/// Looks until there is something to see.
///
/// # Panics
/// When there is nothing after [`WAIT_MAX`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WAIT_MAX;
    while Instant::now() < until {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{what}: not within {WAIT_MAX:?}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
