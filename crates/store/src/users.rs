//! Who is known, and what do roles stand for?
//!
//! In: [`User`]s and [`Role`]s. Out: the same. Fails: as the database does, and when two users would have
//! one name, or one identity of a provider.

use spec::user::Origin;
use spec::{Name, Role, User, UserId};

use crate::error::Error;
use crate::open::Store;
use crate::row::{from_json, to_json};

impl Store {
    /// Stores a user; one of the same id is replaced. [`Error::UserTaken`] when somebody else has the name or
    /// the provider's identity.
    pub async fn put_user(&self, user: &User) -> Result<(), Error> {
        let identity = match &user.origin {
            Origin::Provider { provider, subject } => Some((provider, subject)),
            Origin::Local | Origin::Service => None,
        };
        let done = sqlx::query(
            "INSERT INTO users (id, name, provider, subject, body) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, provider = excluded.provider, subject = excluded.subject,
                body = excluded.body",
        )
        .bind(user.id.as_str())
        .bind(&user.name)
        .bind(identity.map(|(provider, _)| provider))
        .bind(identity.map(|(_, subject)| subject))
        .bind(to_json("user", user)?)
        .execute(self.writer())
        .await;
        match done {
            Err(sqlx::Error::Database(found)) if found.is_unique_violation() => Err(Error::UserTaken(user.name.clone())),
            other => other.map(drop).map_err(Error::from),
        }
    }

    /// All users, by name.
    pub async fn list_users(&self) -> Result<Vec<User>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, body FROM users ORDER BY name").fetch_all(self.reader()).await?;
        rows.iter().map(|(id, body)| from_json("user", id, body)).collect()
    }

    /// One user.
    pub async fn get_user(&self, id: &UserId) -> Result<Option<User>, Error> {
        let body: Option<String> =
            sqlx::query_scalar("SELECT body FROM users WHERE id = ?").bind(id.as_str()).fetch_optional(self.reader()).await?;
        body.map(|body| from_json("user", id.as_str(), &body)).transpose()
    }

    /// The user whom this provider calls so.
    pub async fn find_user(&self, provider: &str, subject: &str) -> Result<Option<User>, Error> {
        let body: Option<String> = sqlx::query_scalar("SELECT body FROM users WHERE provider = ? AND subject = ?")
            .bind(provider)
            .bind(subject)
            .fetch_optional(self.reader())
            .await?;
        body.map(|body| from_json("user", subject, &body)).transpose()
    }

    /// Forgets a user and all of their tokens, both or none; `false` when there is none.
    pub async fn delete_user(&self, id: &UserId) -> Result<bool, Error> {
        let mut change = self.begin().await?;
        sqlx::query("DELETE FROM tokens WHERE owner = ?").bind(id.as_str()).execute(&mut *change).await?;
        let done = sqlx::query("DELETE FROM users WHERE id = ?").bind(id.as_str()).execute(&mut *change).await?;
        change.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Stores a role; one of the same name is replaced.
    pub async fn put_role(&self, role: &Role) -> Result<(), Error> {
        sqlx::query("INSERT INTO roles (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body")
            .bind(role.name.as_str())
            .bind(to_json("role", role)?)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// All roles beside those that are built in, by name.
    pub async fn list_roles(&self) -> Result<Vec<Role>, Error> {
        let rows: Vec<(String, String)> = sqlx::query_as("SELECT name, body FROM roles ORDER BY name").fetch_all(self.reader()).await?;
        rows.iter().map(|(name, body)| from_json("role", name, body)).collect()
    }

    /// Forgets a role; `false` when there is none.
    pub async fn delete_role(&self, name: &Name) -> Result<bool, Error> {
        let done = sqlx::query("DELETE FROM roles WHERE name = ?").bind(name.as_str()).execute(self.writer()).await?;
        Ok(done.rows_affected() > 0)
    }
}
