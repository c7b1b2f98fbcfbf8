//! Arguments: one struct a command, each flag with its documentation beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use openledger_gateway::PublicUrl;
use openledger_primitives::{Address, DatanetId, ModelId, ReceiptHash};
use openledger_train::JobId;

/// An AI ledger: pooled data, fine-tuned models, paid answers, and proof of whose data shaped them.
#[derive(Debug, Parser)]
#[command(name = "openledger", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Chain to talk to.
    #[arg(long, global = true, env = "OPENLEDGER_RPC", default_value = "http://127.0.0.1:8545", value_name = "URL")]
    pub(crate) rpc: String,
    /// Gateway to talk to.
    #[arg(
        long,
        global = true,
        env = "OPENLEDGER_GATEWAY",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) gateway: String,
    /// Who signs: the number of a development account, or a file with an Ethereum keystore (its password in
    /// OPENLEDGER_PASSWORD).
    #[arg(long, global = true, env = "OPENLEDGER_ACCOUNT", default_value = "4", value_name = "NUMBER|FILE")]
    pub(crate) account: String,
    /// What to log to standard error, as in RUST_LOG.
    #[arg(long, global = true, env = "OPENLEDGER_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole loop on real data and show what happened.
    Demo(DemoOptions),
    /// Start the chain, the model server and the gateway on a data directory, and stay.
    Up(UpOptions),
    /// Base models on this machine.
    Model(Group<ModelCommand>),
    /// Pools of data.
    Datanet(Group<DatanetCommand>),
    /// Fine-tuning jobs.
    Train(Group<TrainCommand>),
    /// Ask a model and pay for the answer from a channel.
    Chat(ChatOptions),
    /// Payment channels: what they hold, and getting it back.
    Channel(Group<ChannelCommand>),
    /// Receipts of answers.
    Receipt(Group<ReceiptCommand>),
    /// Balances, earnings and claims.
    Account(Group<AccountCommand>),
    /// The chain, as any Ethereum tool sees it.
    Chain(Group<ChainCommand>),
    /// Check that this machine and a data directory can run a node.
    Doctor(DoctorOptions),
    /// Print a shell's completions.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Commands about one thing.
#[derive(Debug, Args)]
pub(crate) struct Group<C: Subcommand> {
    /// Print the result as one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: C,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// Also write what happened to this file as one JSON object.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Where to keep the demo's data; a new folder under the system's temporary folder when absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The base model: a GGUF file, instead of pulling the default one.
    #[arg(long, env = "OPENLEDGER_MODEL", value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpOptions {
    /// Where everything is kept.
    #[arg(long, env = "OPENLEDGER_DATA_DIR", default_value = "openledger-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where Ethereum JSON-RPC listens.
    #[arg(long, env = "OPENLEDGER_RPC_LISTEN", value_name = "ADDRESS")]
    pub(crate) rpc_listen: Option<SocketAddr>,
    /// Where the gateway listens.
    #[arg(long, env = "OPENLEDGER_HTTP_LISTEN", value_name = "ADDRESS")]
    pub(crate) http_listen: Option<SocketAddr>,
    /// The URL under which the gateway is reached from outside, such as https://ledger.example.
    #[arg(long, env = "OPENLEDGER_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// A further name, with its port, under which the gateway is reached; may be given several times.
    #[arg(long = "host", env = "OPENLEDGER_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub(crate) hosts: Vec<String>,
    /// Seconds between blocks; 0 makes a block as soon as there is a transaction, and an empty one after two idle seconds.
    #[arg(long, env = "OPENLEDGER_BLOCK_TIME_S", value_name = "SECONDS")]
    pub(crate) block_time_s: Option<u64>,
    /// The base model: a GGUF file or a folder with safetensors.
    #[arg(long, env = "OPENLEDGER_MODEL", value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Fetch a base model: checks its hash, shows progress, resumes.
    Pull {
        /// Which model.
        #[arg(default_value = "smollm2-135m-instruct")]
        name: String,
        /// Take it from this URL.
        #[arg(long, value_name = "URL", conflicts_with = "file")]
        url: Option<String>,
        /// Take this local file.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The SHA-256 that it must have.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// Say what a model file holds.
    Show {
        /// A GGUF file or a folder with safetensors.
        path: PathBuf,
    },
    /// Models that the gateway serves.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatanetCommand {
    /// Create a Datanet on chain.
    Create(DatanetCreateOptions),
    /// Datanets that the gateway knows.
    List,
    /// Contribute a file: upload, validate, sign the licence, commit and reveal.
    Contribute(ContributeOptions),
    /// Freeze the accepted records into a snapshot and publish its root.
    Snapshot {
        /// Which Datanet.
        id: DatanetId,
        /// Show what the snapshot would hold and what it would leave out, take nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DatanetCreateOptions {
    /// Its name.
    pub(crate) name: String,
    /// Allow commercial use of models trained on it.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) commercial_use: bool,
    /// Allow derivatives.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) derivatives: bool,
    /// Where the licence's text is.
    #[arg(long, default_value = "")]
    pub(crate) licence_uri: String,
    /// Show what would be sent, send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ContributeOptions {
    /// Which Datanet.
    pub(crate) id: DatanetId,
    /// A JSONL, CSV, Parquet, text or Markdown file.
    pub(crate) file: PathBuf,
    /// Which column holds the prompt (or the text, where there is no response).
    #[arg(long, value_name = "COLUMN")]
    pub(crate) prompt: Option<String>,
    /// Which column holds the response.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) response: Option<String>,
    /// Show the report on the file, contribute nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Print a recipe on the newest snapshot of each Datanet, to be edited and started.
    Recipe(RecipeOptions),
    /// Start a job from a recipe file (JSON) and follow it.
    Start(TrainStartOptions),
    /// Show a job, or all of them.
    Status {
        /// Which job.
        id: Option<JobId>,
    },
    /// Stop a job.
    Cancel {
        /// Which job.
        id: JobId,
    },
    /// Publish a finished job's adapter on chain and serve it.
    Publish {
        /// Which job.
        id: JobId,
        /// Name to serve it under.
        #[arg(long)]
        name: String,
        /// Show what would be sent, send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecipeOptions {
    /// The model's name.
    pub(crate) name: String,
    /// Which Datanets; several times for several.
    #[arg(long, required = true, value_name = "ID")]
    pub(crate) datanet: Vec<DatanetId>,
    /// Where to start from.
    #[arg(long, value_enum, default_value_t = RecipePreset::Quick)]
    pub(crate) preset: RecipePreset,
    /// What the model is told before every conversation.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system_prompt: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RecipePreset {
    /// One epoch at a high rate: to see whether the data works.
    Quick,
    /// Three epochs.
    Standard,
    /// Five epochs at a higher rank, evaluated while training.
    Thorough,
}

#[derive(Debug, Args)]
pub(crate) struct TrainStartOptions {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Records to measure with (JSON lines of prompt and response); they never train.
    #[arg(long, value_name = "FILE")]
    pub(crate) held_out: Option<PathBuf>,
    /// OPEN for a prompt token, once the model is published.
    #[arg(long, value_name = "OPEN", default_value = "0.00001")]
    pub(crate) price_in: String,
    /// OPEN for an answer token.
    #[arg(long, value_name = "OPEN", default_value = "0.00005")]
    pub(crate) price_out: String,
    /// A published model that this one descends from, by its id; several times for several. Their builders get a part of
    /// its fees.
    #[arg(long, value_name = "MODEL_ID")]
    pub(crate) parent: Vec<ModelId>,
    /// Return at once instead of following.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Show the estimate of time and memory, start nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChatOptions {
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// The question.
    pub(crate) prompt: String,
    /// Which model.
    #[arg(long, short)]
    pub(crate) model: String,
    /// Most tokens to generate.
    #[arg(long, default_value_t = 128)]
    pub(crate) max_tokens: u32,
    /// Deposit of OPEN when a channel must be opened or topped up.
    #[arg(long, default_value = "1")]
    pub(crate) deposit: String,
    /// Deposit wrapped OPEN by an authorisation; the operator sends it and pays the gas.
    #[arg(long)]
    pub(crate) wrapped: bool,
    /// Show what the answer can cost at most, ask nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Keep what is needed to verify the answer in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// What the signer's channel to the gateway's operator holds.
    Show {
        /// A model that is paid for; its offer names the operator.
        #[arg(long, short)]
        model: String,
    },
    /// Get back what was not charged, at once and without gas, as wrapped OPEN.
    Refund {
        /// A model that is paid for; its offer names the operator.
        #[arg(long, short)]
        model: String,
        /// How much OPEN; all of it when absent.
        #[arg(long, value_name = "OPEN")]
        amount: Option<String>,
        /// Show what could be refunded, ask for nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Show a receipt.
    Show {
        /// Its hash.
        hash: ReceiptHash,
    },
    /// Check a receipt: signatures, split, inclusion; with --replay also the answer, the scores and the weights.
    Verify {
        /// A receipt's hash, or a file that `chat --save` or the web app wrote.
        receipt: String,
        /// Run the model again and compare bit for bit; this needs the file, which has the request and the answer.
        #[arg(long)]
        replay: bool,
        /// The data directory that holds model and index for the replay.
        #[arg(long, env = "OPENLEDGER_DATA_DIR", default_value = "openledger-data", value_name = "DIR")]
        data_dir: PathBuf,
        /// The base model for the replay; the data directory's when absent.
        #[arg(long, env = "OPENLEDGER_MODEL", value_name = "PATH")]
        model: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Addresses and balances of the development accounts.
    List,
    /// What an account has earned and can claim.
    Earnings {
        /// Whose; the signer's when absent.
        address: Option<Address>,
    },
    /// Claim what an account has earned.
    Claim {
        /// Whose; the signer's when absent. Anyone may pay for the transaction; the money goes to the account.
        address: Option<Address>,
        /// Show what would be sent, send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Head, chain id and gas price.
    Status,
    /// Call a JSON-RPC method; parameters are JSON.
    Rpc {
        /// The method.
        method: String,
        /// Its parameters.
        params: Vec<String>,
    },
    /// Send OPEN.
    Send {
        /// To whom.
        to: Address,
        /// How much OPEN.
        amount: String,
        /// Show what would be sent, send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// The node that is looked at, as `up` would start it.
    #[command(flatten)]
    pub(crate) node: UpOptions,
}

/// Prints the completions of `shell`.
pub(crate) fn print_completions(shell: Shell) {
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "openledger", &mut std::io::stdout());
}
