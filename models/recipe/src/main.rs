//! How is a model made from the command line?
//!
//! In: `recipe train | pad | random | show | ask`. Out: a file, or its description; progress on the standard error. Fails: with one line that says what
//! was wrong, one that says what to do, and exit code 1. Holds: nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base::ByteSize;
use clap::{Args, Parser, Subcommand};
use recipe::{Model, Plan, Progress, Quant, Shape, Sizes, Value};

/// Steps between two lines of progress where no terminal shows them all.
const REPORT_EVERY: usize = 25;

/// Makes our small models.
#[derive(Parser)]
#[command(name = "recipe", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Trains the tiny chat model: some five minutes on two processors; the same seed gives the same bytes.
    Train(TrainArgs),
    /// Writes a larger file with the same answers: the feed-forward part is widened with zeros.
    Pad(PadArgs),
    /// Writes a model of any size with random weights, or with holes.
    Random(RandomArgs),
    /// Prints what a file holds.
    Show {
        /// The file.
        file: PathBuf,
    },
    /// Asks a trained model, without an engine.
    Ask {
        /// The file.
        file: PathBuf,
        /// The question; left out, all that it should know is asked and counted.
        question: Option<String>,
    },
}

#[derive(Args)]
struct TrainArgs {
    /// Where the model goes.
    #[arg(long)]
    out: PathBuf,
    /// Where chance starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Batches; fewer give a worse model sooner.
    #[arg(long, default_value_t = Plan::tiny().steps)]
    steps: usize,
    /// The type of its matrices: f32, f16, bf16, q8_0 or q4_0.
    #[arg(long = "type", default_value = "f16")]
    quant: Quant,
    /// Threads; the result is the same with any number.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Args)]
struct PadArgs {
    /// A file that `recipe train` wrote.
    #[arg(long)]
    src: PathBuf,
    /// Where the larger one goes.
    #[arg(long)]
    out: PathBuf,
    /// The new width of the feed-forward part.
    #[arg(long, default_value_t = 12_288)]
    ffn: usize,
    /// The type of its matrices: f32, f16, bf16, q8_0 or q4_0.
    #[arg(long = "type", default_value = "f32")]
    quant: Quant,
}

#[derive(Args)]
struct RandomArgs {
    /// Where the model goes.
    #[arg(long)]
    out: PathBuf,
    /// llama, qwen2, qwen3, gemma, gemma2, gemma3, phi3, qwen2moe, qwen3moe, mamba, or any other name for a sound header.
    #[arg(long, default_value = "llama")]
    arch: String,
    /// Layers.
    #[arg(long, default_value_t = 2)]
    layers: usize,
    /// Numbers that stand for a token inside.
    #[arg(long, default_value_t = 256)]
    dim: usize,
    /// Heads of queries.
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// Heads of keys and values.
    #[arg(long, default_value_t = 2)]
    kv_heads: usize,
    /// Numbers in a head; what `dim` gives each of them when not given.
    #[arg(long)]
    head: Option<usize>,
    /// Width of the feed-forward part, or of each expert's.
    #[arg(long, default_value_t = 512)]
    ffn: usize,
    /// Experts of each layer, where the architecture has them.
    #[arg(long, default_value_t = 4)]
    experts: usize,
    /// Tokens that it knows.
    #[arg(long, default_value_t = 512)]
    vocab: usize,
    /// Tokens that fit into one chat.
    #[arg(long, default_value_t = 2048)]
    context: usize,
    /// Tokens that layers with a sliding window look back.
    #[arg(long, default_value_t = 512)]
    window: u32,
    /// Rules of the vocabulary, none of which is ever applied.
    #[arg(long, default_value_t = 0)]
    merges: usize,
    /// The type of its matrices.
    #[arg(long, default_value = "f16")]
    quant: Quant,
    /// Zeros that cost no disk, instead of random weights.
    #[arg(long)]
    sparse: bool,
    /// Where chance starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error.downcast_ref::<recipe::Error>().and_then(base::Fault::hint);
            let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            // Where even this cannot be written the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {error:#}{hint}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match verb {
        Verb::Train(args) => {
            let mut plan = Plan { seed: args.seed, steps: args.steps, ..Plan::tiny() };
            plan.threads = args.threads.unwrap_or(plan.threads);
            let model = recipe::train(&plan, &mut report)?;
            let size = recipe::write_gguf(&model.gguf("Penstock Tiny", args.quant)?, &args.out)?;
            writeln!(out, "{}: {} weights, {}", args.out.display(), model.parameters(), ByteSize(size))?;
        }
        Verb::Pad(args) => {
            let size = recipe::pad(&args.src, &args.out, args.ffn, args.quant)?;
            writeln!(out, "{}: {}", args.out.display(), ByteSize(size))?;
        }
        Verb::Random(args) => {
            let size = recipe::random(&shape(&args), &args.out)?;
            writeln!(out, "{}: {}", args.out.display(), ByteSize(size))?;
        }
        Verb::Show { file } => show(&file, &mut out)?,
        Verb::Ask { file, question: Some(question) } => writeln!(out, "{}", Model::load(&file)?.answer(&question))?,
        Verb::Ask { file, question: None } => examine(&Model::load(&file)?, &mut out)?,
    }
    Ok(())
}

fn shape(args: &RandomArgs) -> Shape {
    Shape {
        arch: args.arch.clone(),
        sizes: Sizes { vocab: args.vocab, dim: args.dim, layers: args.layers, heads: args.heads, kv_heads: args.kv_heads, ffn: args.ffn },
        head: args.head,
        context: args.context,
        window: args.window,
        experts: args.experts,
        merges: args.merges,
        quant: args.quant,
        sparse: args.sparse,
        seed: args.seed,
    }
}

fn report(progress: &Progress) {
    let mut err = io::stderr().lock();
    let terminal = err.is_terminal();
    let last = progress.step == progress.steps;
    if !terminal && !last && progress.step != 1 && !progress.step.is_multiple_of(REPORT_EVERY) {
        return;
    }
    let (start, end) = if terminal { ("\r\x1b[K", if last { "\n" } else { "" }) } else { ("", "\n") };
    let Progress { step, steps, loss, elapsed, left } = progress;
    // Progress that nobody can read must not end the training.
    let _ = write!(err, "{start}step {step}/{steps}  loss {loss:.3}  {}  left {}{end}", clock(*elapsed), clock(*left));
    let _ = err.flush();
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

fn show(file: &std::path::Path, out: &mut impl io::Write) -> anyhow::Result<()> {
    const SHOWN: usize = 6;
    let opened = recipe::read_gguf(file)?;
    for (key, value) in &opened.metadata {
        match value {
            Value::List(items) => writeln!(out, "{key} = {} values, {:?} ...", items.len(), &items[..items.len().min(SHOWN)])?,
            Value::Text(text) => writeln!(out, "{key} = {text:?}")?,
            other => writeln!(out, "{key} = {other:?}")?,
        }
    }
    for tensor in &opened.tensors {
        writeln!(out, "{:<32} {:<8} {:?} at {}", tensor.name, tensor.quant.name(), tensor.shape, tensor.start)?;
    }
    Ok(())
}

fn examine(model: &Model, out: &mut impl io::Write) -> anyhow::Result<()> {
    let (mut right, mut all) = (0, 0);
    for fact in recipe::facts() {
        let answer = model.answer(&fact.question);
        all += 1;
        if answer == fact.answer {
            right += 1;
        } else {
            writeln!(out, "{}\n  should be: {}\n  but is:    {answer}", fact.question, fact.answer)?;
        }
    }
    writeln!(out, "{right} of {all} right")?;
    anyhow::ensure!(right == all, "the model does not know its world; train it longer");
    Ok(())
}
