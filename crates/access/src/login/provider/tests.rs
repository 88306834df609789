//! A provider is known however many ask it for other things, and whoever waits for a key waits long enough.

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A provider that tells of itself, and nothing else.
pub(in crate::login) struct Stand {
    pub(in crate::login) issuer: String,
    /// The keys that it shows; while it is away, none.
    shown: Arc<Mutex<Option<Value>>>,
    _answers: Task,
}

impl Stand {
    pub(in crate::login) async fn showing(keys: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("bound"));
        let document = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        });
        let shown = Arc::new(Mutex::new(Some(keys)));
        let now = Arc::clone(&shown);
        let answer = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(keys) = now.lock().expect("whole").clone() else { continue };
                let mut asked = [0; 4096];
                let read = stream.read(&mut asked).await.unwrap_or(0);
                let is_for_keys = asked.get(..read).is_some_and(|asked| asked.starts_with(b"GET /keys"));
                let body = if is_for_keys { json!({ "keys": keys }) } else { document.clone() }.to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
                drop(stream.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await);
            }
        };
        Self { issuer, shown, _answers: tasks::spawn("a provider", answer) }
    }

    /// From now on it shows these keys, or is away.
    pub(in crate::login) fn shows(&self, keys: Option<Value>) {
        *self.shown.lock().expect("whole") = keys;
    }
}

#[tokio::test]
async fn a_provider_is_known_while_logins_have_taken_all_turns() {
    let stand = Stand::showing(json!([])).await;
    let net = Net::new().expect("a net");
    let provider = Provider::new(ProviderConfig::new("corp", &stand.issuer, "penstock"), None, &net).expect("a provider");
    let _all_of_the_house = net.take_all_turns();
    let _all_of_its_logins = provider.net.take_all_turns();
    provider.known().await.expect("its keys are asked for apart from logins");
    let before = provider.tries();
    provider.once_more().await.expect("and once more");
    assert!(provider.tries() > before);
}

#[test]
fn whoever_met_an_unknown_key_waits_for_the_answer_whatever_was_asked_before() {
    for idle in 0..100 {
        assert!(pause(true, idle) + 2 * PATIENCE <= WAIT, "after {idle} questions that brought nothing new");
        assert!(pause(false, idle) <= pause(true, idle), "a login does not wait for those who bring keys");
    }
    assert!(WAIT <= Duration::from_secs(30), "nobody is kept longer with a token that may be forged");
}
