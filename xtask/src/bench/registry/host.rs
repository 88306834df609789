//! Where a pull gets its bytes from: files of this machine over HTTP on loopback, whole or in ranges.
//!
//! In: requests for absolute paths. Out: the files, by the kernel's own way from file to socket, so that the host costs little. Fails: a
//! client that leaves is no news. Holds: a thread for each connection; all end with this program.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Result;

/// Gives out files by their paths, whole or in ranges, to as many as ask; it ends with this program.
pub(super) fn open() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for line in listener.incoming().flatten() {
            // A client that leaves is no news.
            std::thread::spawn(move || drop(serve(line)));
        }
    });
    Ok(address)
}

fn serve(line: TcpStream) -> Result<()> {
    line.set_nodelay(true)?;
    let mut reader = BufReader::new(line.try_clone()?);
    let mut writer = line;
    loop {
        let (mut first, mut range) = (String::new(), None);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("range: bytes=") {
                range = text.split_once('-').map(|(first, last)| (first.to_owned(), last.to_owned()));
            }
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let (from, to) = match &range {
            Some((first, last)) => (first.parse()?, last.parse::<u64>().map_or(len, |last| last + 1)),
            None => (0, len),
        };
        let status = if range.is_some() {
            format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{len}", to - 1)
        } else {
            "200 OK".to_owned()
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{len}\"\r\naccept-ranges: bytes\r\n\r\n", to - from);
        writer.write_all(head.as_bytes())?;
        if method == "GET" {
            file.seek(SeekFrom::Start(from))?;
            std::io::copy(&mut file.take(to - from), &mut writer)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn files_are_given_out_whole_and_in_ranges() {
        let folder = Scratch::new("host").unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "0123456789").unwrap();
        let ask = |head: String| {
            let mut line = TcpStream::connect(open().unwrap()).unwrap();
            line.write_all(head.as_bytes()).unwrap();
            line.shutdown(std::net::Shutdown::Write).unwrap();
            let mut text = String::new();
            line.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask(format!("GET {} HTTP/1.1\r\n\r\n", path.display())).ends_with("\r\n\r\n0123456789"));
        let range = ask(format!("GET {} HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n", path.display()));
        assert!(range.starts_with("HTTP/1.1 206") && range.contains("bytes 2-4/10") && range.ends_with("\r\n\r\n234"), "{range}");
        assert!(!ask(format!("HEAD {} HTTP/1.1\r\n\r\n", path.display())).contains("0123"));
    }
}
