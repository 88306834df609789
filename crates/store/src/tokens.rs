//! Which tokens are there?
//!
//! In: [`Token`]s with their hash; the token itself never comes here. Out: the same. Fails: as the
//! database does, and when two tokens would have the same hash.

use spec::{Token, TokenId};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

impl Store {
    /// Stores a token; one of the same id is replaced.
    pub async fn put_token(&self, token: &Token) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO tokens (id, hash, body) VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, body = excluded.body",
        )
        .bind(token.id.as_str())
        .bind(&token.hash)
        .bind(to_json("token", token)?)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Replaces a token that is there; `false`, and nothing stored, when it is not: who changes a token
    /// does not bring back one that somebody else has taken away.
    pub async fn update_token(&self, token: &Token) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE tokens SET hash = ?, body = ? WHERE id = ?")
            .bind(&token.hash)
            .bind(to_json("token", token)?)
            .bind(token.id.as_str())
            .execute(self.writer())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// All tokens, by id.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, Error> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT id, hash, body FROM tokens ORDER BY id").fetch_all(self.reader()).await?;
        rows.into_iter()
            .map(|(id, hash, body)| {
                let token: Token = from_json("token", &id, &body)?;
                Ok(Token { hash, ..token })
            })
            .collect()
    }

    /// Forgets a token; `false` when there is none.
    pub async fn delete_token(&self, id: &TokenId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
