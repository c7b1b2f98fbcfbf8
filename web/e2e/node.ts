/** A real node: `openledger up` on free ports, on a fresh data directory, with the tiny model. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const REPOSITORY = fileURLToPath(new URL("../../", import.meta.url));
/** Epochs end and become final while a test waits for them. */
const CONFIG = "epoch_seconds = 2\nchallenge_window_s = 4\nblock_time_s = 1\n";
const START_MS = 60_000;
const STOP_MS = 20_000;
/** How long a slowed process runs and rests in turn. */
const [RUN_MS, REST_MS] = [3, 100];
const BUILD_MS = 1_800_000;

export interface NodeUrls {
  gateway: string;
  rpc: string;
  binary: string;
  /** A folder that is gone after the run. */
  scratch: string;
}

export interface RunningNode extends NodeUrls {
  /** Lets the process run for a moment at a time, as on a machine that has much else to do; gives what ends that. */
  slow: () => () => void;
  /** Ends the process as a loss of power would, and starts it again where it listened. */
  killAndRestart: () => Promise<void>;
  stop: () => Promise<void>;
}

/** The program under test: `OPENLEDGER_BIN`, or what Cargo builds. */
function binary(): string {
  const named = process.env.OPENLEDGER_BIN;
  if (named) return named;
  const built = execFileSync(
    "cargo",
    ["build", "--locked", "-p", "openledger-cli", "--message-format", "json-render-diagnostics"],
    {
      cwd: REPOSITORY,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      maxBuffer: 1 << 28,
      timeout: BUILD_MS,
    },
  );
  const paths = built
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => (JSON.parse(line) as { executable?: string | null }).executable ?? null)
    .filter((path) => path !== null);
  const found = paths.at(-1);
  if (found === undefined) throw new Error("cargo build -p openledger-cli named no executable");
  return found;
}

/** Tiny models with random weights: which variable names one, and how many layers it has. */
const MODELS = {
  tiny: { variable: "OPENLEDGER_TINY_MODEL", layers: "2" },
  /** One whose answers take long enough to be stopped in the middle. */
  deep: { variable: "OPENLEDGER_DEEP_MODEL", layers: "128" },
};

/** The model of that name: the file that its variable names, or what the testkit writes. */
function model(name: keyof typeof MODELS, scratch: string): string {
  const { variable, layers } = MODELS[name];
  const named = process.env[variable];
  if (named) return named;
  const path = join(scratch, `${name}.gguf`);
  execFileSync(
    "cargo",
    ["run", "-q", "--locked", "-p", "openledger-testkit", "--example", "tiny_model", "--", path, layers],
    {
      cwd: REPOSITORY,
      stdio: ["ignore", "ignore", "inherit"],
      timeout: BUILD_MS,
    },
  );
  return path;
}

/** Starts a node and waits until it says where it listens. */
export async function startNode(base: keyof typeof MODELS = "tiny"): Promise<RunningNode> {
  const scratch = mkdtempSync(join(tmpdir(), "openledger-e2e-"));
  const program = binary();
  if (!existsSync(program)) throw new Error(`${program} is not there`);
  const data = join(scratch, "data");
  mkdirSync(data);
  writeFileSync(join(data, "openledger.toml"), CONFIG);
  const weights = model(base, scratch);
  /** A process on the data directory, listening where it is told. */
  const launch = (rpc: string, http: string): ChildProcess => {
    const listen = ["--rpc-listen", rpc, "--http-listen", http];
    const options = ["up", "--data-dir", data, "--model", weights, ...listen];
    return spawn(program, options, { stdio: ["ignore", "pipe", "pipe"] });
  };
  let child = launch("127.0.0.1:0", "127.0.0.1:0");
  try {
    const { rpc, gateway } = await announced(child);
    const killAndRestart = async () => {
      await end(child, "SIGKILL");
      child = launch(new URL(rpc).host, new URL(gateway).host);
      await announced(child);
    };
    const slow = () => runAtTimes(child);
    const shut = () => stop(child, scratch);
    return { rpc, gateway, binary: program, scratch, killAndRestart, slow, stop: shut };
  } catch (error) {
    await stop(child, scratch);
    throw error;
  }
}

function runAtTimes(child: ChildProcess): () => void {
  let timer: NodeJS.Timeout | undefined;
  const rest = () => {
    child.kill("SIGSTOP");
    timer = setTimeout(run, REST_MS);
  };
  const run = () => {
    child.kill("SIGCONT");
    timer = setTimeout(rest, RUN_MS);
  };
  rest();
  return () => {
    clearTimeout(timer);
    child.kill("SIGCONT");
  };
}

async function announced(child: ChildProcess): Promise<{ rpc: string; gateway: string }> {
  let text = "";
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the node did not start in time:\n${text}`)), START_MS);
    const take = (chunk: Buffer) => {
      text += chunk.toString();
      const rpc = /chain RPC\s+(http:\S+)/.exec(text)?.[1];
      const gateway = /gateway\s+(http:\S+)/.exec(text)?.[1];
      if (rpc === undefined || gateway === undefined) return;
      clearTimeout(timer);
      resolve({ rpc, gateway });
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`the node ended with status ${code}:\n${text}`));
    });
  });
}

async function stop(child: ChildProcess, scratch: string): Promise<void> {
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await end(child, "SIGTERM");
  clearTimeout(timer);
  rmSync(scratch, { recursive: true, force: true });
}

async function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  await ended;
}

/** Runs one of the program's commands against the node, as the development account of that number. */
export async function openledger(node: NodeUrls, account: number, ...args: string[]): Promise<string> {
  const shared = ["--rpc", node.rpc, "--gateway", node.gateway, "--account", String(account)];
  const { stdout } = await promisify(execFile)(node.binary, [...shared, ...args], { timeout: 120_000 });
  return stdout;
}
