use std::path::Path;
use std::process::Command;

use openledger_datanet::limits::{CHUNK_BYTES_MAX, FILE_BYTES_MAX, OPEN_UPLOADS_MAX};
use openledger_datanet::{Datanets, Format, NewUpload, PrepareError, UploadError, UploadLimits};
use openledger_primitives::{B256, DatanetId, keccak256};

use crate::{Fixture, NET, open, signer, text};

pub(crate) fn declare(bytes: &[u8]) -> NewUpload {
    NewUpload {
        datanet: NET,
        contributor: signer(1).address(),
        file_name: "../../etc/passwd".to_owned(),
        bytes: bytes.len() as u64,
        hash: keccak256(bytes),
    }
}

const FILE: &[u8] = b"{\"text\":\"first statement\"}\n{\"text\":7}\n{\"text\":\"second, different one\"}\n{\"text\":\"First statement!\"}\n";

#[test]
fn an_upload_continues_where_it_stopped_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let new = declare(FILE);
    let datanets = open(dir.path());
    let upload = datanets.begin_upload(&new).unwrap();
    datanets.append_upload(upload.id, 0, &FILE[..10]).unwrap();
    drop(datanets);
    let datanets = open(dir.path());
    let resumed = datanets.begin_upload(&new).unwrap();
    assert_eq!((resumed.id, resumed.received_bytes), (upload.id, 10));
    let incomplete = datanets.finish_upload(upload.id).unwrap_err();
    assert!(matches!(incomplete, UploadError::Incomplete { received_bytes: 10, .. }));
    datanets.append_upload(upload.id, 10, &FILE[10..]).unwrap();
    assert!(datanets.finish_upload(upload.id).unwrap().finished);
    let (batch, report) = datanets.prepare_upload(upload.id, Format::Jsonl, None).unwrap();
    assert_eq!((batch.record_count(), report.rejected), (3, 1));
}

#[test]
fn parts_must_follow_each_other_within_the_declared_size() {
    let fixture = Fixture::new();
    let id = fixture.datanets.begin_upload(&declare(FILE)).unwrap().id;
    let gap = fixture.datanets.append_upload(id, 5, b"x").unwrap_err();
    assert_eq!(gap.to_string(), "the part begins at byte 5; 0 bytes are here");
    fixture.datanets.append_upload(id, 0, &FILE[..4]).unwrap();
    assert!(matches!(fixture.datanets.append_upload(id, 0, &FILE[..4]), Err(UploadError::Offset { .. })));
    let long = fixture.datanets.append_upload(id, 4, FILE).unwrap_err();
    assert!(matches!(long, UploadError::PartSize { bytes_max, .. } if bytes_max == FILE.len() as u64 - 4));
    let large = declare(&vec![0; CHUNK_BYTES_MAX + 1]);
    let large_id = fixture.datanets.begin_upload(&large).unwrap().id;
    let part = fixture.datanets.append_upload(large_id, 0, &vec![0; CHUNK_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(part, UploadError::PartSize { .. }));
    assert!(matches!(fixture.datanets.upload(B256::ZERO), Err(UploadError::Unknown { .. })));
}

#[test]
fn a_file_of_another_hash_is_thrown_away() {
    let fixture = Fixture::new();
    let new = declare(FILE);
    let id = fixture.datanets.begin_upload(&new).unwrap().id;
    fixture.datanets.append_upload(id, 0, &FILE.to_ascii_uppercase()).unwrap();
    assert!(matches!(fixture.datanets.finish_upload(id), Err(UploadError::Hash { .. })));
    assert_eq!(fixture.datanets.begin_upload(&new).unwrap().received_bytes, 0);
    fixture.datanets.append_upload(id, 0, FILE).unwrap();
    fixture.datanets.finish_upload(id).unwrap();
}

#[test]
fn declarations_are_limited() {
    let fixture = Fixture::new();
    let begin = |new: &NewUpload| fixture.datanets.begin_upload(new);
    let huge = NewUpload { bytes: FILE_BYTES_MAX + 1, ..declare(FILE) };
    assert!(matches!(begin(&huge), Err(UploadError::Size { .. })));
    assert!(matches!(begin(&declare(b"")), Err(UploadError::Size { bytes: 0 })));
    let elsewhere = NewUpload { datanet: DatanetId(9), ..declare(FILE) };
    assert!(matches!(begin(&elsewhere), Err(UploadError::UnknownDatanet { .. })));
}

/// Anybody may begin uploads in a contributor's name; what the contributor has sent stays.
#[test]
fn of_too_many_open_uploads_those_with_the_fewest_bytes_give_way() {
    let fixture = Fixture::new();
    let own = fixture.datanets.begin_upload(&declare(FILE)).unwrap().id;
    fixture.datanets.append_upload(own, 0, &FILE[..10]).unwrap();
    let strangers: Vec<_> = (0..2 * OPEN_UPLOADS_MAX)
        .map(|number| {
            let id = fixture.datanets.begin_upload(&declare(&number.to_be_bytes())).unwrap().id;
            fixture.datanets.append_upload(id, 0, &[0]).unwrap();
            id
        })
        .collect();
    let open = strangers.iter().filter(|id| fixture.datanets.upload(**id).is_ok()).count() as u64;
    assert_eq!(open, OPEN_UPLOADS_MAX - 1);
    fixture.datanets.append_upload(own, 10, &FILE[10..]).unwrap();
    assert!(fixture.datanets.finish_upload(own).unwrap().finished);
}

fn upload(datanets: &Datanets, file: &[u8]) -> B256 {
    let id = datanets.begin_upload(&declare(file)).unwrap().id;
    datanets.append_upload(id, 0, file).unwrap();
    datanets.finish_upload(id).unwrap().id
}

/// Statements of one length.
fn numbered(number: u64) -> Vec<u8> {
    format!("{{\"text\":\"statement {number:04}\"}}\n").into_bytes()
}

#[test]
fn finished_uploads_beyond_their_bytes_give_way_to_newer_ones() {
    let bytes = numbered(0).len() as u64;
    for limits in [
        UploadLimits { finished_bytes_max: 2 * bytes, ..UploadLimits::default() },
        UploadLimits { bytes_max: 2 * bytes, ..UploadLimits::default() },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let datanets = open(dir.path()).with_upload_limits(limits);
        let ids: Vec<B256> = (0..5).map(|number| upload(&datanets, &numbered(number))).collect();
        let kept = ids.iter().filter(|id| datanets.upload(**id).is_ok()).count();
        assert_eq!(kept, 2, "{limits:?}");
        assert!(datanets.upload(ids[4]).is_ok(), "the newest is kept");
        assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), kept);
    }
}

#[test]
fn uploads_are_kept_for_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let limits = UploadLimits { prepared_kept_s: 0, ..UploadLimits::default() };
    let datanets = open(dir.path()).with_upload_limits(limits);
    let (prepared, waiting) = (upload(&datanets, &numbered(1)), upload(&datanets, &numbered(2)));
    datanets.prepare_upload(prepared, Format::Jsonl, None).unwrap();
    let next = datanets.begin_upload(&declare(&numbered(3))).unwrap().id;
    assert!(matches!(datanets.upload(prepared), Err(UploadError::Unknown { .. })));
    assert!(datanets.upload(waiting).is_ok());
    let impatient = datanets.with_upload_limits(UploadLimits { kept_s: 0, ..limits });
    impatient.append_upload(next, 0, &numbered(3)[..4]).unwrap();
    impatient.begin_upload(&declare(&numbered(4))).unwrap();
    assert!(matches!(impatient.upload(next), Err(UploadError::Unknown { .. })));
    assert_eq!(std::fs::read_dir(dir.path().join("uploads")).unwrap().count(), 1);
}

#[test]
fn a_preview_shows_rejections_duplicates_and_samples_and_stores_nothing() {
    let mut fixture = Fixture::new();
    fixture.contribute(2, &[text("Second; different one")]);
    let id = fixture.datanets.begin_upload(&declare(FILE)).unwrap().id;
    fixture.datanets.append_upload(id, 0, FILE).unwrap();
    let unfinished = fixture.datanets.preview(id, Format::Jsonl, None, 2).unwrap_err();
    assert!(matches!(unfinished, PrepareError::Unfinished { .. }));
    fixture.datanets.finish_upload(id).unwrap();
    let preview = fixture.datanets.preview(id, Format::Jsonl, None, 1).unwrap();
    assert_eq!(preview.sample, [text("first statement")]);
    assert_eq!((preview.report.accepted, preview.report.rejected), (3, 1));
    let rows: Vec<_> = preview.duplicates.iter().map(|duplicate| (duplicate.row, duplicate.of_row)).collect();
    assert_eq!(rows, [(3, None), (4, Some(1))]);
    let listed = fixture.datanets.records(NET, Default::default(), 0, 10).unwrap();
    assert_eq!(listed.rows.len(), 1);
}

/// Set in the child process: where it works.
const FULL_DIR: &str = "OPENLEDGER_DATANET_TEST_FULL_DIR";
/// Bytes that fit on the full disk of the test below.
const FITS: usize = 1 << 20;

/// A file larger than that disk.
fn large_file() -> Vec<u8> {
    let line = |n: u64| format!("{{\"text\":\"{:x} and {n}\"}}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut file: Vec<u8> = (0..250_000).map(line).collect::<String>().into_bytes();
    file.truncate(9 << 20);
    file
}

/// The kernel's file-size limit stands in for a full disk: the write fails in the middle, as there.
/// The same test runs as parent and, in a shell with the limit set, as child.
#[test]
fn an_upload_onto_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    if let Some(dir) = std::env::var_os(FULL_DIR) {
        return upload_until_full(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    // Blocks of 512 bytes in a POSIX shell, of 1,024 in bash: 2 to 4 MiB.
    let test = "uploads::an_upload_onto_a_full_disk_says_so_and_goes_on_when_there_is_room";
    let script = format!(r#"trap '' XFSZ; ulimit -f 4096; exec "$0" --exact {test}"#);
    let mut child = Command::new("sh");
    child.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(FULL_DIR, dir.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let (datanets, file) = (open(dir.path()), large_file());
    let upload = datanets.begin_upload(&declare(&file)).unwrap();
    assert_eq!(upload.received_bytes, FITS as u64, "what was acknowledged, and no more");
    for (at, part) in file[FITS..].chunks(CHUNK_BYTES_MAX).enumerate() {
        datanets.append_upload(upload.id, (FITS + at * CHUNK_BYTES_MAX) as u64, part).unwrap();
    }
    assert!(datanets.finish_upload(upload.id).unwrap().finished);
}

fn upload_until_full(dir: &Path) {
    let (datanets, file) = (open(dir), large_file());
    let id = datanets.begin_upload(&declare(&file)).unwrap().id;
    datanets.append_upload(id, 0, &file[..FITS]).unwrap();
    let full = datanets.append_upload(id, FITS as u64, &file[FITS..FITS + CHUNK_BYTES_MAX]).unwrap_err();
    assert!(matches!(full, UploadError::DiskFull), "{full:?}");
    assert_eq!(full.to_string(), "disk full");
    assert_eq!(datanets.upload(id).unwrap().received_bytes, FITS as u64);
}
