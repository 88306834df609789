//! Do sockets find a place, and is what stands in a folder private and whole?

use super::*;

#[test]
fn sockets_stand_in_the_folder_while_their_path_is_short() {
    let id = InstanceId::new("0123456789abcdef");
    assert_eq!(socket_dir(Path::new("/data/instances"), &id), Path::new("/data/instances/0123456789abcdef"));
}

#[test]
fn sockets_move_to_a_short_folder_when_their_path_would_be_too_long() {
    let id = InstanceId::new("0123456789abcdef");
    // With `/<id>/k.sock` behind it this is exactly as long as a socket's path may be.
    let just = format!("/{}", "d".repeat(LONGEST_SOCKET - 1 - "/0123456789abcdef/k.sock".len()));
    assert_eq!(socket_dir(Path::new(&just), &id), Path::new(&just).join(id.as_str()));

    let long = format!("{just}d");
    let moved = socket_dir(Path::new(&long), &id);
    assert!(moved.starts_with("/tmp") && moved.ends_with(id.as_str()), "{}", moved.display());
    assert!(moved.join("k.sock").as_os_str().len() <= LONGEST_SOCKET);
    assert_eq!(socket_dir(Path::new(&long), &id), moved, "the same path gives the same folder");
    assert_ne!(socket_dir(Path::new(&format!("{long}d")), &id), moved, "another path gives another");
}

#[test]
fn an_id_that_could_leave_the_folder_is_refused() {
    for bad in ["", ".", "..", "a/b", "../x", "a b", &"x".repeat(65)] {
        assert!(matches!(Folder::of(Path::new("/d"), &InstanceId::new(bad)), Err(Error::BadId(_))), "{bad}");
    }
}

#[test]
fn folder_and_files_are_for_this_user_alone() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::of(temp.path(), &InstanceId::new("a1")).unwrap();
    fs::create_dir(folder.path()).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder.create().unwrap();
    folder.write_facts(&Facts { keeper: 1, engine: None, started_at: Timestamp::now() }).unwrap();
    assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(folder.path().join("facts.json")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_link_in_the_place_of_a_private_folder_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let (real, link) = (temp.path().join("real"), temp.path().join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert!(matches!(private_dir(&link), Err(Error::NotPrivate { .. })));
}

#[test]
fn one_keeper_at_a_time_has_the_place() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::of(temp.path(), &InstanceId::new("a1")).unwrap();
    assert!(folder.lock().is_none(), "no folder, no place");
    folder.create().unwrap();
    let held = folder.lock().expect("free");
    assert!(folder.lock().is_none());
    drop(held);
    assert!(folder.lock().is_some());
}

#[test]
fn a_file_that_is_not_ours_is_an_error_with_its_path() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::of(temp.path(), &InstanceId::new("a1")).unwrap();
    folder.create().unwrap();
    assert!(folder.exit().unwrap().is_none());
    fs::write(folder.path().join("exit.json"), "{").unwrap();
    let error = folder.exit().unwrap_err().to_string();
    assert!(error.contains("exit.json"), "{error}");
}
