//! Which tokens are there?
//!
//! In: [`Token`]s with their hash; the token itself never comes here. Out: the same. Fails: as the
//! database does, and when two tokens would have the same hash.

use base::Timestamp;
use futures_util::{Stream, StreamExt as _};
use spec::{Token, TokenId, UserId};
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

/// A row: id, hash, body, when it was last used.
type Row = (String, String, String, Option<i64>);

const SELECT: &str = "SELECT id, hash, body, last_used FROM tokens";

/// Which tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenQuery {
    /// Only those made after this one (its time and its id).
    pub after: Option<(Timestamp, TokenId)>,
    /// Only those of this user.
    pub owner: Option<UserId>,
    /// Only those that these projects, or this user, have: what somebody may see who may not see all.
    pub visible: Option<(Option<UserId>, Vec<String>)>,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Stores a token; one of the same id is replaced. When it was last used stays.
    pub async fn put_token(&self, token: &Token) -> Result<(), Error> {
        insert(token)?.execute(self.writer()).await?;
        Ok(())
    }

    /// Stores many tokens that are new, all of them or none.
    pub async fn put_tokens(&self, tokens: &[Token]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for token in tokens {
            insert(token)?.execute(&mut *change).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Replaces a token that is there; `false`, and nothing stored, when it is not: who changes a token
    /// does not bring back one that somebody else has taken away.
    pub async fn update_token(&self, token: &Token) -> Result<bool, Error> {
        let done = sqlx::query("UPDATE tokens SET hash = ?, body = ?, owner = ?, project = ? WHERE id = ?")
            .bind(&token.hash)
            .bind(to_json("token", token)?)
            .bind(token.owner.as_ref().map(UserId::as_str))
            .bind(&token.project)
            .bind(token.id.as_str())
            .execute(self.writer())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// All tokens, by id.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, Error> {
        let mut all = self.stream_tokens();
        let mut tokens = Vec::new();
        while let Some(token) = all.next().await {
            tokens.push(token?);
        }
        Ok(tokens)
    }

    /// All tokens, by id, one after the other: there may be a million.
    pub fn stream_tokens(&self) -> impl Stream<Item = Result<Token, Error>> + Unpin + Send + '_ {
        sqlx::query_as("SELECT id, hash, body, last_used FROM tokens ORDER BY id").fetch(self.reader()).map(|row| read(row?))
    }

    /// Tokens as asked for, oldest first.
    pub async fn page_tokens(&self, query: &TokenQuery) -> Result<Vec<Token>, Error> {
        let mut sql = sqlx::QueryBuilder::<sqlx::Sqlite>::new(SELECT);
        sql.push(" WHERE 1 = 1");
        if let Some((at, id)) = &query.after {
            sql.push(" AND (created_at, id) > (").push_bind(at.as_millis()).push(", ").push_bind(id.as_str()).push(")");
        }
        if let Some(owner) = &query.owner {
            sql.push(" AND owner = ").push_bind(owner.as_str());
        }
        if let Some((owner, projects)) = &query.visible {
            sql.push(" AND (owner = ").push_bind(owner.as_ref().map(UserId::as_str));
            for project in projects {
                sql.push(" OR project = ").push_bind(project);
            }
            sql.push(")");
        }
        sql.push(" ORDER BY created_at, id LIMIT ").push_bind(query.limit);
        let rows: Vec<Row> = sql.build_query_as().fetch_all(self.reader()).await?;
        rows.into_iter().map(read).collect()
    }

    /// One token.
    pub async fn get_token(&self, id: &TokenId) -> Result<Option<Token>, Error> {
        let row: Option<Row> = sqlx::query_as("SELECT id, hash, body, last_used FROM tokens WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?;
        row.map(read).transpose()
    }

    /// How many tokens a project has.
    pub async fn count_tokens_of(&self, project: &str) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens WHERE project = ?").bind(project).fetch_one(self.reader()).await?;
        Ok(crate::row::from_int(count))
    }

    /// When tokens were last used; all of them or none. Those that are gone stay gone, and time only goes on.
    pub async fn put_last_used(&self, used: &[(TokenId, Timestamp)]) -> Result<(), Error> {
        let mut change = self.begin().await?;
        for (id, at) in used {
            sqlx::query("UPDATE tokens SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?")
                .bind(at.as_millis())
                .bind(id.as_str())
                .execute(&mut *change)
                .await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Some of the tokens of logins whose end has come by this time, the oldest first.
    pub async fn login_tokens_until(&self, time: Timestamp, most: u32) -> Result<Vec<TokenId>, Error> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM tokens WHERE login_end <= ? ORDER BY login_end LIMIT ?")
            .bind(time.to_string())
            .bind(most)
            .fetch_all(self.reader())
            .await?;
        Ok(ids.into_iter().map(TokenId::new).collect())
    }

    /// A user's tokens of logins beside the newest so many.
    pub async fn login_tokens_beyond(&self, owner: &UserId, most: u32) -> Result<Vec<TokenId>, Error> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM tokens WHERE owner = ? AND login_end IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?",
        )
        .bind(owner.as_str())
        .bind(most)
        .fetch_all(self.reader())
        .await?;
        Ok(ids.into_iter().map(TokenId::new).collect())
    }

    /// Forgets a token; `false` when there is none.
    pub async fn delete_token(&self, id: &TokenId) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn insert(token: &Token) -> Result<Query<'_, Sqlite, SqliteArguments>, Error> {
    let put = sqlx::query(
        "INSERT INTO tokens (id, hash, body, owner, project, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, body = excluded.body, owner = excluded.owner,
            project = excluded.project, created_at = excluded.created_at",
    );
    let put = put.bind(token.id.as_str()).bind(&token.hash).bind(to_json("token", token)?);
    Ok(put.bind(token.owner.as_ref().map(UserId::as_str)).bind(&token.project).bind(token.created_at.as_millis()))
}

fn read((id, hash, body, last_used): Row) -> Result<Token, Error> {
    let token: Token = from_json("token", &id, &body)?;
    Ok(Token { hash, last_used_at: last_used.map(Timestamp::from_millis), ..token })
}
