//! A provider is known however many ask it for other things, and whoever waits for a key waits long enough.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A provider that tells of itself, and nothing else.
async fn stands() -> (Task, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let issuer = format!("http://{}", listener.local_addr().expect("bound"));
    let document = serde_json::json!({
        "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
        "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    });
    let answer = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let read = stream.read(&mut asked).await.unwrap_or(0);
            let is_for_keys = asked.get(..read).is_some_and(|asked| asked.starts_with(b"GET /keys"));
            let body = if is_for_keys { r#"{"keys": []}"#.to_owned() } else { document.to_string() };
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
        }
    };
    (tasks::spawn("a provider", answer), issuer)
}

#[tokio::test]
async fn a_provider_is_known_while_logins_have_taken_all_turns() {
    let (_stands, issuer) = stands().await;
    let net = Net::new().expect("a net");
    let provider = Provider::new(ProviderConfig::new("corp", &issuer, "penstock"), None, &net).expect("a provider");
    let _all_of_the_house = net.take_all_turns();
    let _all_of_its_logins = provider.net.take_all_turns();
    provider.known().await.expect("its keys are asked for apart from logins");
    let before = provider.tries();
    provider.once_more().await.expect("and once more");
    assert!(provider.tries() > before);
}

#[test]
fn whoever_met_an_unknown_key_waits_for_the_answer_whatever_was_asked_before() {
    for idle in 1..100 {
        assert!(KEYS.ceiling(idle) + 2 * PATIENCE <= WAIT, "after {idle} questions that brought nothing new");
    }
    assert!(WAIT <= Duration::from_secs(30), "nobody is kept longer with a token that may be forged");
}
