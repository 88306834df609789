//! What must every database behind [`Store`](crate::Store) do?
//!
//! In: a place, an async closure that opens the same new, empty database each time it is called.
//! Out: nothing, or a panic that says which promise was broken. Use [`contract!`](crate::contract!)
//! in a test file: it makes one test of each promise. From: quickwit's one suite for all metastores.

pub mod sample;

pub mod belonging;
pub mod changes;
pub mod identity;
pub mod models;
pub mod records;
pub mod rollouts;
pub mod secrets;
pub mod sessions;
pub mod story;
pub mod wishes;

/// Makes a `#[tokio::test]` of every promise; the expression makes a new place for each test.
///
/// A place is an `AsyncFn() -> Result<Store, Error>` that opens the same database whenever it is
/// called, so that a test can close it, or just drop it, and look at what is left.
#[macro_export]
macro_rules! contract {
    ($place:expr) => {
        $crate::contract! { @tests $place;
            wishes::a_new_wish_has_generation_one_and_comes_back_as_it_was,
            wishes::a_name_is_taken_once,
            wishes::the_generation_rises_with_a_change_and_only_then,
            wishes::a_stale_generation_is_refused_and_changes_nothing,
            wishes::a_wish_is_renewed_with_its_cause_on_top_of_what_it_is,
            wishes::of_many_writers_that_expect_the_same_generation_one_wins,
            wishes::a_wish_that_is_to_go_can_be_brought_back_and_leaves_only_when_told,
            wishes::revisions_belong_to_a_wish_and_go_with_it,
            wishes::old_revisions_make_room_but_not_those_that_run,
            rollouts::a_rollout_comes_back_as_it_was_and_its_revisions_stand_as_it_says,
            rollouts::a_change_has_a_cause_and_its_revision_tells_it,
            wishes::routes_come_back_with_their_generation_and_share_no_name_with_a_deployment,
            changes::only_what_has_changed_since_the_mark_is_read_again,
            changes::what_is_written_again_as_it_was_is_no_change,
            changes::a_wish_that_went_is_told_by_name_and_one_that_came_back_is_not,
            changes::who_has_missed_too_much_reads_everything,
            changes::routes_are_read_again_when_one_has_changed,
            changes::a_mark_is_good_after_a_restart,
            changes::a_writer_that_was_cut_off_is_not_missed,
            models::a_model_comes_back_with_its_card_its_versions_and_its_tags,
            models::a_model_is_changed_only_on_top_of_what_it_is,
            models::models_are_found_by_words_labels_formats_and_what_they_can_do,
            models::how_a_tag_moved_is_remembered_newest_first,
            models::the_revisions_of_a_version_are_known,
            records::intents_come_back_in_the_order_of_their_fences_and_hide_their_key,
            records::tokens_come_back_with_their_hash_and_hashes_are_unique,
            records::a_token_that_is_gone_is_not_brought_back_by_a_change,
            records::projects_come_back_by_name,
            belonging::a_project_has_no_more_than_its_quota,
            belonging::what_the_config_says_counts_for_a_project_and_is_never_refused,
            belonging::of_many_who_come_at_once_no_more_get_in_than_have_room,
            belonging::a_project_goes_when_nothing_belongs_to_it,
            belonging::models_are_found_by_their_project,
            belonging::who_has_sent_a_file_is_remembered,
            identity::users_come_back_by_name_and_share_neither_name_nor_identity,
            identity::a_user_goes_with_all_of_their_tokens,
            identity::roles_come_back_by_name,
            identity::tokens_are_listed_oldest_first_a_page_at_a_time,
            identity::when_a_token_was_last_used_is_kept_and_only_goes_on,
            records::allocations_come_back_oldest_first_and_go_when_told,
            records::answers_are_kept_until_they_are_deleted_too_old_or_too_many,
            records::services_keep_their_id_when_the_deployment_changes,
            secrets::secrets_come_back_as_they_were_sealed,
            secrets::secrets_are_wrapped_anew_but_not_over_a_newer_value,
            sessions::sessions_come_back_until_their_end_and_stay_gone,
            records::a_digest_holds_while_the_file_is_what_it_was,
            records::of_a_footprint_the_most_that_was_seen_is_kept,
            records::fences_rise_and_never_come_twice,
            records::the_installation_keeps_its_id,
            story::events_keep_the_order_in_which_they_were_stored,
            story::events_can_be_asked_for_by_deployment_and_from_either_end,
            story::a_receiver_of_events_goes_on_where_it_was,
            story::writers_at_the_same_time_share_no_id,
            story::operations_are_listed_newest_first_and_finished_ones_make_room,
            story::a_call_is_counted_once_however_often_it_is_sent,
            story::usage_is_summed_over_a_span_of_time,
            story::what_was_stored_survives_a_drop_without_a_close,
            story::a_closed_store_says_so,
        }
    };
    (@tests $place:expr; $($part:ident :: $promise:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $promise() -> Result<(), $crate::Error> {
                $crate::contract::$part::$promise($place).await
            }
        )+
    };
}
