//! Hubs and Ollama-style registries: what is meant, what is checked, and what is said when it cannot be had.

use base::{Fault as _, Secret};

use testkit::{Manners, S3Server};

use super::*;

fn hex(bytes: &Bytes) -> String {
    Digest::of(bytes).hex().to_owned()
}

/// A repository with two quantisations.
fn add_repo(house: &House, token: Option<&str>) -> (Bytes, Bytes) {
    let (q4, q8) = (model("q4", MB), model("q8", 2 * MB));
    let (q4_hex, q8_hex) = (hex(&q4), hex(&q8));
    let readme = Bytes::from_static(b"# tiny");
    house.host.add_hub(
        "me/tiny",
        token,
        &[("README.md", readme, None), ("tiny-Q4_K_M.gguf", q4.clone(), Some(&q4_hex)), ("sub/tiny-Q8_0.gguf", q8.clone(), Some(&q8_hex))],
    );
    (q4, q8)
}

#[tokio::test]
async fn a_repository_on_a_hub_is_fetched_by_quantisation_by_file_or_as_people_usually_want_it() {
    let house = house().await;
    let (q4, q8) = add_repo(&house, None);
    for (source, bytes) in [("hf:me/tiny", &q4), ("hf:me/tiny:q8_0", &q8), ("hf:me/tiny/sub/tiny-Q8_0.gguf", &q8), ("hf:me/tiny@main", &q4)]
    {
        let pulled = house.pull(source).await.expect(source);
        assert_eq!(pulled.version.digest, Digest::of(bytes).to_string(), "{source}");
        assert_eq!(pulled.card.unwrap().licence, "apache-2.0");
    }
    assert_eq!(house.host.sent(&format!("/cdn/{}", hex(&q8))), q8.len() as u64, "the same file came once");
}

#[tokio::test]
async fn a_list_of_files_is_read_to_its_end_at_this_very_hub_whomever_its_links_name() {
    let house = house().await;
    let (_, q8) = add_repo(&house, None);
    let first = "/api/models/me/tiny/tree/0123456789abcdef0123456789abcdef01234567?recursive=true";
    let goes_on = |at: &str| house.host.change(first, |page| page.headers = vec![("link".to_owned(), format!("<{at}>; rel=\"next\""))]);
    for next in [format!("https://hub.example{first}&cursor=2"), format!("{first}&cursor=2")] {
        goes_on(&next);
        assert_eq!(house.pull("hf:me/tiny:q8_0").await.expect(&next).version.digest, Digest::of(&q8).to_string());
    }
    for (next, what) in [("cursor 2", "no address"), (first, "more than 50 pages")] {
        goes_on(next);
        let error = house.pull("hf:me/tiny:q8_0").await.unwrap_err();
        assert!(matches!(&error, Error::List { .. }) && error.to_string().contains(what), "{error}");
    }
}

#[tokio::test]
async fn what_a_hub_sends_is_checked_against_what_it_promised() {
    let house = house().await;
    let (q4, _) = add_repo(&house, None);
    let place = format!("/cdn/{}", hex(&q4));
    house.host.change(&place, |file| {
        let mut bytes = file.bytes.to_vec();
        bytes[MB / 2] ^= 1;
        file.bytes = bytes.into();
    });
    let error = house.pull("hf:me/tiny").await.unwrap_err();
    assert!(matches!(error, Error::Blobs(blobs::Error::Mismatch { .. })), "{error}");
    assert_eq!(house.registry.blobs().unwrap().list().await.unwrap(), [], "nothing wrong is ever seen");
}

#[tokio::test]
async fn a_private_repository_is_shown_to_its_token_and_others_are_told_how_to_give_one() {
    let house = house_with(|fetching| Fetching { hub_token: Some(Secret::new("hf_right")), ..fetching }).await;
    add_repo(&house, Some("hf_right"));
    house.pull("hf:me/tiny").await.expect("with the token");
    let asked = house.host.asked();
    assert!(asked.iter().filter(|asked| !asked.path.starts_with("/cdn")).all(|asked| asked.token.as_deref() == Some("hf_right")));

    let house = super::house().await;
    add_repo(&house, Some("hf_right"));
    let error = house.pull("hf:me/tiny").await.unwrap_err();
    assert!(matches!(error, Error::Denied { with_token: false, .. }), "{error}");
    assert!(error.hint().unwrap().contains("HF_TOKEN"));
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let house = house().await;
    add_repo(&house, None);
    let near = |error: Error| match error {
        Error::NotThere { near, .. } => near.join(" "),
        other => panic!("{other}"),
    };
    assert!(near(house.pull("hf:me/tiny/tiny-Q4_K_S.gguf").await.unwrap_err()).contains("tiny-Q4_K_M.gguf"));
    assert!(near(house.pull("hf:me/tiny:Q2_K").await.unwrap_err()).contains("sub/tiny-Q8_0.gguf"));
    assert_eq!(near(house.pull("hf:me/other").await.unwrap_err()), "");
    let error = house.pull("hf:me/ti%ny").await.unwrap_err();
    assert!(matches!(error, Error::BadSource { .. }), "{error}");
}

#[tokio::test]
async fn a_busy_hub_is_asked_again() {
    let house = house().await;
    let (q4, _) = add_repo(&house, None);
    house.host.change(&format!("/cdn/{}", hex(&q4)), |file| file.statuses = vec![503, 429]);
    house.pull("hf:me/tiny").await.expect("after a pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_a_store_is_fetched_as_it_is_now() {
    let server = S3Server::open(Manners::Good).await.expect("a server");
    let (old, new) = (model("object", 9 * MB), model("another", 9 * MB));
    std::fs::create_dir(server.object("sub")).expect("a folder");
    std::fs::write(server.object("sub/tiny.gguf"), &old).expect("an object");
    let options = [("endpoint", server.url()), ("region", "any".to_owned())];
    let stores = blobs::BucketConfig {
        url: String::new(),
        options: options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        secrets: [("access_key_id", "key"), ("secret_access_key", "secret")]
            .map(|(key, value)| (key.to_owned(), Secret::new(value)))
            .into(),
    };
    let house = house_with(|fetching| Fetching { stores, ..fetching }).await;
    assert_eq!(house.pull("s3://models/sub/tiny.gguf").await.expect("a model").version.digest, Digest::of(&old).to_string());
    std::fs::write(server.object("sub/tiny.gguf"), &new).expect("an object");
    assert_eq!(house.resolve("s3://models/sub/tiny.gguf").await.expect("a model").digest, Digest::of(&old).to_string(), "as it was");
    let promised = format!("s3://models/sub/tiny.gguf#sha256={}", hex(&new));
    assert_eq!(house.pull(&promised).await.expect("a model").version.digest, Digest::of(&new).to_string());
    assert!(matches!(house.pull("s3://models/none.gguf").await, Err(Error::NotThere { .. })));
}

#[tokio::test]
async fn an_ollama_model_comes_with_what_its_layers_say() {
    let house = house().await;
    let bytes = model("ollama", MB);
    let params = Bytes::from_static(b"{\"temperature\":0.2,\"stop\":[\"x\"],\"num_ctx\":2048}");
    let licence = Bytes::from_static(b"\n  MIT License\nCopyright");
    let digests = [&bytes, &params, &licence].map(|layer| Digest::of(layer).to_string());
    house.host.add_ollama(
        "library/tiny",
        "latest",
        &[("model", bytes.clone(), &digests[0]), ("params", params, &digests[1]), ("license", licence, &digests[2])],
    );
    let pulled = house.pull("ollama:tiny").await.expect("a model");
    assert_eq!(pulled.version.digest, digests[0]);
    let card = pulled.card.expect("a card");
    assert_eq!((card.licence.as_str(), card.parameters.temperature, card.context_limit), ("MIT License", Some(0.2), Some(2048)));
    assert!(pulled.version.path.ends_with("tiny-latest.gguf"));

    let adapter = Bytes::from_static(b"lora");
    let digest = Digest::of(&adapter).to_string();
    house.host.add_ollama("me/lora", "1", &[("model", bytes.clone(), &digests[0]), ("adapter", adapter, &digest)]);
    assert!(matches!(house.pull("ollama:me/lora:1").await, Err(Error::BadSource { .. })));
    assert!(matches!(house.pull("ollama:nothing").await, Err(Error::NotThere { .. })));
}

/// What the two parts of a model that sees are called, and how it would be served.
#[tokio::test]
async fn an_ollama_model_that_sees_comes_with_its_projector() {
    let house = house().await;
    let bytes = model("sees", MB);
    let sample = Sample::of("clip").flag("clip.has_vision_encoder", true).flag("clip.has_audio_encoder", true).tensor("v.x", &[32], 0);
    let mut projector = sample.header();
    projector.resize(usize::try_from(sample.file_len()).expect("small"), 0);
    let projector = Bytes::from(projector);
    let digests = [&bytes, &projector].map(|layer| Digest::of(layer).to_string());
    house.host.add_ollama("me/sees", "1", &[("model", bytes.clone(), &digests[0]), ("projector", projector.clone(), &digests[1])]);
    let version = house.pull("ollama:me/sees:1").await.expect("a model").version;
    assert_eq!(
        version.contents.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["me-sees-1.gguf", "mmproj-me-sees-1.gguf"]
    );
    assert_eq!(std::fs::read(version.projector().expect("its projector")).expect("a file"), projector);
    assert_eq!(version.size.0, (bytes.len() + projector.len()) as u64);
    let can = &version.contents.capabilities;
    assert!(
        [spec::Capability::Completion, spec::Capability::Vision, spec::Capability::Audio].iter().all(|what| can.contains(what)),
        "{can:?}"
    );
    assert_eq!(house.resolve("ollama:me/sees:1").await.expect("the same").contents, version.contents, "without a word to anybody");

    // What is called a projector and is none.
    house.host.add_ollama("me/blind", "1", &[("model", bytes.clone(), &digests[0]), ("projector", bytes, &digests[0])]);
    assert!(matches!(house.pull("ollama:me/blind:1").await, Err(Error::NoProjector { .. })));
}

#[tokio::test]
async fn a_template_of_an_ollama_model_is_used_where_the_file_has_none() {
    let house = house().await;
    let mute = {
        let sample = Sample::llama();
        let mut file = sample.header();
        file.resize(usize::try_from(sample.file_len()).expect("small"), 0);
        Bytes::from(file)
    };
    let speaks = {
        let sample = Sample::llama().text("tokenizer.chat_template", "{{ messages }}");
        let mut file = sample.header();
        file.resize(usize::try_from(sample.file_len()).expect("small"), 0);
        Bytes::from(file)
    };
    let go = Bytes::from_static(b"{{ if .System }}<s>{{ .System }}</s>{{ end }}<u>{{ .Prompt }}</u><a>{{ .Response }}</a>");
    let jinja = Bytes::from_static(b"{% for m in messages %}{{ m.content }}{% endfor %}");
    let newer = Bytes::from_static(b"{{ range .Messages }}{{ .Content }}{{ end }}");
    let template = async |name: &str, file: &Bytes, template: &Bytes| {
        let digests = [file, template].map(|layer| Digest::of(layer).to_string());
        house.host.add_ollama(name, "1", &[("model", file.clone(), &digests[0]), ("template", template.clone(), &digests[1])]);
        house.pull(&format!("ollama:{name}:1")).await.expect("a model").card.and_then(|card| card.chat_template)
    };
    let put = template("me/mute", &mute, &go).await.expect("a template");
    assert!(put.contains("message.role") && put.contains("<u>") && !put.contains(".Prompt"), "{put}");
    assert_eq!(template("me/speaks", &speaks, &go).await, None, "the one in the file counts");
    assert_eq!(template("me/newer", &mute, &newer).await, None, "what cannot be said in Jinja is left out");
    assert_eq!(template("me/jinja", &speaks, &jinja).await.as_deref(), std::str::from_utf8(&jinja).ok(), "Jinja stands for the file's");
}
