//! Digests that somebody says, or somebody's host: what they open, and whom they are in the way of.

use super::*;

/// Longer than all that has to end here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);
/// A piece of a file takes longer than that.
const HARDLY: u64 = 1 << 8;

fn promised(house: &House, path: &str, bytes: &Bytes) -> String {
    format!("{}#sha256={}", house.url(path), Digest::of(bytes).hex())
}

#[tokio::test]
async fn a_file_that_is_here_is_had_by_its_digest_only_by_those_who_may_have_it() {
    let house = house().await;
    let (bytes, other) = (model("theirs", MB), model("other", MB));
    let digest = Digest::of(&bytes);
    house.host.put("/theirs.gguf", HostedFile::of(bytes.clone()));
    house.pull(&house.url("/theirs.gguf")).await.expect("it is here");
    // Another address that only says that it has it: in the source, and in its own header.
    let said = ("X-Checksum-Sha256".to_owned(), digest.hex().to_owned());
    house.host.put("/liar.gguf", HostedFile { headers: vec![said], ..HostedFile::of(other) });
    for source in [promised(&house, "/liar.gguf", &bytes), house.url("/liar.gguf")] {
        let error = house.pull(&source).await.expect_err("it shows that it has it by its bytes");
        assert!(matches!(error, Error::Blobs(blobs::Error::Mismatch { .. })), "{source}: {error}");
        let error = house.resolve(&source).await.expect_err("a deployment's wish is nobody's");
        assert!(matches!(error, Error::Blobs(blobs::Error::Mismatch { .. })), "{source}: {error}");
    }
    // Who may have it sends for nothing, and that opens it to nobody else.
    let owner = Asker { who: "an admin".to_owned(), sees: None };
    for source in [promised(&house, "/liar.gguf", &bytes), house.url("/liar.gguf")] {
        let sent = house.host.sent("/liar.gguf");
        assert_eq!(house.pull_for(&source, &owner).await.expect("theirs").fetched, 0);
        assert_eq!(house.host.sent("/liar.gguf"), sent);
        assert!(house.pull(&source).await.is_err() && house.resolve(&source).await.is_err(), "{source}");
    }
    house.registry.note_sent(&digest, "somebody").await.expect("noted");
    let sender = Asker { who: "somebody".to_owned(), sees: Some(Vec::new()) };
    assert_eq!(house.pull_for(&house.url("/liar.gguf"), &sender).await.expect("they have sent it").fetched, 0);

    // Another one that has it gives all of it once, and not again.
    house.host.put("/honest.gguf", HostedFile::of(bytes.clone()));
    for fetched in [bytes.len() as u64, 0] {
        assert_eq!(house.pull(&promised(&house, "/honest.gguf", &bytes)).await.expect("it has it").fetched, fetched);
    }
    assert_eq!(house.host.sent("/honest.gguf"), bytes.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_a_digest_for_other_bytes_neither_holds_up_nor_spoils_what_has_it() {
    let house = house_with(|fetching| Fetching { stall: DEADLINE, ..fetching }).await;
    let (bytes, other) = (model("right", MB), model("wrong", MB));
    house.host.put("/slow.gguf", HostedFile { rate: Some(HARDLY), ..HostedFile::of(other) });
    house.host.put("/right.gguf", HostedFile::of(bytes.clone()));
    let (slow, right) = (promised(&house, "/slow.gguf", &bytes), promised(&house, "/right.gguf", &bytes));
    let begun = async {
        while house.host.asked().iter().all(|asked| (asked.method.as_str(), asked.path.as_str()) != ("GET", "/slow.gguf")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::timeout(DEADLINE, house.pull(&right)).await.expect("nobody is in its way").expect("the right one")
    };
    tokio::select! {
        ended = house.pull(&slow) => panic!("it takes minutes: {ended:?}"),
        pulled = begun => assert_eq!(pulled.version.digest, Digest::of(&bytes).to_string()),
    }
}
