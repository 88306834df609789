//! Which flags may a deployment give its engine?
//!
//! In: a wish. Out: nothing, or what is wrong with `args`. A flag is Penstock's own, which nobody says; or it is known to read, write, fetch and open
//! nothing, which whoever may set `args` says; or it is neither, such as one of an engine that is newer than the list here: only the config says that, since
//! whoever writes it has the machine anyway. From: `llama-server --help`; no other engine is given arguments.

use super::Deployment;
use crate::check::Problem;

/// Flags that Penstock sets, or that nobody shall, and what to do instead.
const OWNED: [(&[&str], &str); 14] = [
    (&["-m", "--model", "-mu", "--model-url", "-dr", "--docker-repo", "-hf", "-hfr", "--hf-repo", "-hff", "--hf-file"], "set model:"),
    (&["--host", "--port", "--reuse-port", "--path", "--api-prefix"], "use the gateway's address"),
    (&["-a", "--alias"], "set name:"),
    (&["-c", "--ctx-size"], "set context:"),
    (&["-np", "--parallel", "-kvu", "--kv-unified"], "set parallel:"),
    (&["-t", "--threads"], "set threads:"),
    (&["-ngl", "--gpu-layers", "--n-gpu-layers"], "set gpu_layers:"),
    (&["-dev", "--device", "-ts", "--tensor-split", "-mg", "--main-gpu"], "set gpu_layers:; Penstock chooses the devices"),
    (&["--api-key", "--api-key-file", "--ssl-key-file", "--ssl-cert-file"], "use Penstock's tokens"),
    (&["--embedding", "--embeddings"], "set embeddings: true"),
    (&["--sleep-idle-seconds"], "set replicas.sleep_after:"),
    (&["--models-dir", "--models-preset", "--tools", "--agent", "-ag", "--mcp-servers-config", "--mcp-servers-json"], "leave it out"),
    (&["--tools-runtime", "--ui-mcp-proxy", "--webui-mcp-proxy", "--no-offline", "--no-slots", "--props"], "leave it out"),
    (&["--log-file", "--log-prompts-dir", "--slot-save-path", "--media-path"], "leave it out; `penstock logs` shows what engines write"),
];

/// Flags that name files, and what takes none.
const INSTEAD: [(&[&str], &str); 4] = [
    (&["-mm", "--mmproj", "-mmu", "--mmproj-url"], "register the projector with its model, which is then started with it"),
    (&["--chat-template-file"], "set chat_template: of its model"),
    (&["--grammar-file"], "write the grammar itself behind --grammar"),
    (&["-jf", "--json-schema-file"], "write the schema itself behind --json-schema"),
];

/// Flags that concern how the engine computes, what it keeps in memory and what it writes into its log, and nothing else.
const HARMLESS: &str = "
    -tb --threads-batch --threads-http -C --cpu-mask -Cr --cpu-range --cpu-strict --prio --poll --numa -Cb --cpu-mask-batch -Crb
    --cpu-range-batch --cpu-strict-batch --prio-batch --poll-batch -to --timeout -n --predict --n-predict -b --batch-size -ub
    --ubatch-size --keep -cb --cont-batching --sse-ping-interval -nocb --no-cont-batching -fa --flash-attn --swa-full --perf --no-perf -e
    --escape --no-escape --tags --rope-scaling --rope-scale --rope-freq-base --rope-freq-scale -gan --grp-attn-n -gaw --grp-attn-w
    --yarn-orig-ctx --yarn-ext-factor --yarn-attn-factor --yarn-beta-slow --yarn-beta-fast --override-kv -ot --override-tensor -cmoe
    --cpu-moe -ncmoe --n-cpu-moe -ncffn --n-cpu-ffn -sm --split-mode --check-tensors -fit --fit -fitt --fit-target -fitc --fit-ctx
    --op-offload --no-op-offload -nr --no-repack --repack -kvo --kv-offload -nkvo --no-kv-offload --no-host -lm --load-mode -lzm
    --lazy-mode --mmap --no-mmap --mlock -dio --direct-io -ndio --no-direct-io -ctk --cache-type-k -ctv --cache-type-v -dt --defrag-thold
    -ctxcp --ctx-checkpoints --swa-checkpoints -cms --checkpoint-min-step -cram --cache-ram --cache-reuse --cache-prompt --no-cache-prompt
    --cache-idle-slots --no-cache-idle-slots -sps --slot-prompt-similarity -no-kvu --no-kv-unified --kv-unified-per-slot --context-shift
    --no-context-shift --warmup --no-warmup --slots --metrics --offline -v --verbose --log-verbose -lv --verbosity --log-verbosity
    --log-disable --log-jsonl --no-log-jsonl --log-colors --log-prefix --no-log-prefix --log-timestamps --no-log-timestamps -r
    --reverse-prompt -sp --special --spm-infill --pooling --embd-normalize --rerank --reranking --mmproj-auto --no-mmproj --no-mmproj-auto
    --mmproj-offload --no-mmproj-offload --image-min-tokens --image-max-tokens --mtmd-batch-max-tokens --video-fps
    --video-timestamp-interval
";

/// The same, of how tokens are chosen, drafted and put into words.
const OF_TOKENS: &str = "
    --samplers -s --seed --sampler-seq --sampling-seq --ignore-eos --temp --temperature --top-k --top-p --min-p --top-nsigma --top-n-sigma
    --xtc-probability --xtc-threshold --typical --typical-p --repeat-last-n --repeat-penalty --presence-penalty --frequency-penalty
    --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --adaptive-target --adaptive-decay
    --dynatemp-range --dynatemp-exp --mirostat --mirostat-lr --mirostat-ent -l --logit-bias --grammar -j --json-schema -bs
    --backend-sampling --jinja --no-jinja --chat-template --chat-template-kwargs --reasoning-format -rea --reasoning --reasoning-effort
    --reasoning-budget --reasoning-budget-message --reasoning-preserve --no-reasoning-preserve --skip-chat-parsing --no-skip-chat-parsing
    --prefill-assistant --no-prefill-assistant --spec-type --spec-default --spec-draft-n-max --spec-draft-n-min --spec-draft-p-min
    --spec-draft-p-split --draft-p-min --draft-p-split --draft --draft-n --draft-max --draft-min --draft-n-min --spec-synth-len
    --spec-synth-rates --spec-ngram-mod-n-min --spec-ngram-mod-n-max --spec-ngram-mod-n-match --spec-ngram-size-n --spec-ngram-size-m
    --spec-ngram-simple-size-n --spec-ngram-simple-size-m --spec-ngram-simple-min-hits --spec-ngram-min-hits --spec-ngram-map-k-size-n
    --spec-ngram-map-k-size-m --spec-ngram-map-k-min-hits --spec-draft-backend-sampling --spec-ngram-map-k4v-size-n
    --spec-ngram-map-k4v-size-m --spec-ngram-map-k4v-min-hits --no-spec-draft-backend-sampling --spec-draft-type-k -ctkd
    --cache-type-k-draft --spec-draft-type-v -ctvd --cache-type-v-draft
";

impl Deployment {
    /// What is wrong with its arguments, whoever wrote them.
    pub fn argument_problems(&self) -> Vec<Problem> {
        const CACHE: [&str; 4] = ["-ctk", "--cache-type-k", "-ctv", "--cache-type-v"];
        let wrong = |flag: String| match instead(&OWNED, &flag) {
            Some(instead) => Some(problem(format!("{flag} is set by Penstock"), format!("remove it and {instead}"))),
            None if self.cache_type.is_some() && CACHE.contains(&flag.as_str()) => {
                Some(problem(format!("{flag} is said by cache_type"), "remove it, or cache_type:".to_owned()))
            }
            None => None,
        };
        self.flags().filter_map(wrong).collect()
    }

    /// What of them only the config may say.
    pub(super) fn arguments_of_the_config(&self) -> Vec<Problem> {
        let is_harmless = |flag: &str| HARMLESS.split_whitespace().chain(OF_TOKENS.split_whitespace()).any(|known| known == flag);
        let wrong = |flag: String| {
            let instead = instead(&INSTEAD, &flag).unwrap_or("leave it out");
            let hint = format!("{instead}, or write the deployment in the config, which may say it");
            problem(format!("{flag} is not among the flags that are known to reach no file and no network"), hint)
        };
        self.flags().filter(|flag| !is_harmless(flag) && instead(&OWNED, flag).is_none()).map(wrong).collect()
    }

    /// Its flags, as the engine reads them: without a value behind `=`, and in long ones `_` is `-`. A value that looks like one counts as one.
    fn flags(&self) -> impl Iterator<Item = String> {
        self.args.iter().filter_map(|word| {
            let flag = word.split('=').next().unwrap_or(word).trim();
            let is_number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            flag.strip_prefix('-').filter(|rest| !rest.is_empty() && !is_number(rest))?;
            Some(if flag.starts_with("--") { flag.replace('_', "-") } else { flag.to_owned() })
        })
    }
}

fn instead(table: &[(&[&str], &'static str)], flag: &str) -> Option<&'static str> {
    table.iter().find(|(flags, _)| flags.contains(&flag)).map(|(_, instead)| *instead)
}

fn problem(what: String, hint: String) -> Problem {
    Problem { field: "args".to_owned(), what, hint }
}

#[cfg(test)]
mod tests {
    use crate::{Deployment, Name};

    fn wish(args: &[&str]) -> Deployment {
        Deployment { args: args.iter().map(|&word| word.to_owned()).collect(), ..Deployment::named(Name::parse("a").unwrap()) }
    }

    #[test]
    fn a_flag_that_reaches_a_file_or_the_network_or_is_not_known_stands_in_the_config_alone() {
        for words in [
            &["--temp", "-0.5", "--chat_template", "{{ x }}", "-n", "-1", "--logit-bias", "15-1", "--dry-sequence-breaker", "-"][..],
            &["--verbose", "-ctk", "q8_0", "--override-kv", "a=int:-1", "--no-mmap"],
        ] {
            assert_eq!(wish(words).arguments_of_the_config(), [], "{words:?}");
        }
        for words in [
            ["--grammar-file", "/secret"],
            ["--grammar_file=/secret", ""],
            [" --chat-template-file", "/secret"],
            ["--temp", "--lora"],
            ["-jf", "x"],
            ["-md", "x"],
            ["-lcd", "x"],
            ["--rpc", "host:1"],
            ["--video-ffmpeg-dir", "/tmp"],
            ["--gpt-oss-20b-default", ""],
            ["--of-a-newer-engine", ""],
        ] {
            let wish = wish(&words);
            let found = wish.arguments_of_the_config();
            assert!(found.len() == 1 && found[0].hint.contains("in the config"), "{words:?}: {found:?}");
            assert_eq!(wish.argument_problems(), [], "the config may");
        }
    }

    #[test]
    fn a_flag_that_penstock_owns_is_told_once_with_what_to_write() {
        for arg in ["--api-key", "--host=0.0.0.0", "-m", "--mcp_servers_json", "--mcp-servers_json={}", "--log_file=/x", "--media-path"] {
            let wish = wish(&[arg]);
            let wrong = wish.argument_problems();
            assert!(wrong.len() == 1 && wrong[0].hint.starts_with("remove it and "), "{wrong:?}");
            assert_eq!(wish.arguments_of_the_config(), [], "{arg}");
        }
        let both = Deployment { cache_type: Some(crate::CacheType::Q8_0), ..wish(&["--cache_type_k", "f16"]) };
        assert_eq!(both.argument_problems().len(), 1);
    }
}
