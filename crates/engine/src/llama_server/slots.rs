//! How full is the KV cache of a llama-server?
//!
//! In: its page of slots. Out: percent of the cells of all slots in which tokens of running calls lie; nothing from a page that does not
//! say. Pure. What an idle slot keeps of its last call does not count: it makes way for the next one. From: llama.cpp's
//! `server_slot::to_json`, whose `n_prompt_tokens` are all tokens of a slot, also those that it has made itself.

use serde::Deserialize;

const WHOLE: u64 = 100;

#[derive(Deserialize)]
struct Slot {
    n_ctx: u32,
    is_processing: bool,
    n_prompt_tokens: Option<u64>,
}

/// Percent of it that running calls have filled.
pub(super) fn kv_use(page: &str) -> Option<u32> {
    let slots: Vec<Slot> = serde_json::from_str(page).ok()?;
    let cells: u64 = slots.iter().map(|slot| u64::from(slot.n_ctx)).sum();
    let busy = slots.iter().filter(|slot| slot.is_processing);
    let filled: u64 = busy.map(|slot| Some(slot.n_prompt_tokens?.min(slot.n_ctx.into()))).sum::<Option<u64>>()?;
    u32::try_from(filled.saturating_mul(WHOLE).checked_div(cells)?).ok()
}
