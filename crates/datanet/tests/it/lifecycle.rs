use openledger_datanet::{
    BatchError, BatchState, DatanetError, DatanetInfo, Excluded, Exclusion, Record, RecordAccessError, RecordFilter,
    RecordStatus, Snapshot, SnapshotError, record_hash,
};
use openledger_primitives::{Address, B256, DatanetId, RecordHash, SnapshotId};

use crate::{Fixture, NET, info, sign, signer, terms, text};

fn sentences(topic: &str, count: usize) -> Vec<Record> {
    let words = ["river", "engine", "orchard", "ledger", "signal", "harbour", "copper", "meadow", "lantern", "glacier"];
    let word = |n: usize| words[n % words.len()];
    (0..count)
        .map(|n| text(&format!("{topic} {} {n} {} {topic} {}", word(n), word(n * 3 + 1), word(n * 7 + 2))))
        .collect()
}

/// Contributor and cluster of each entry, which unlike hashes do not depend on salts.
fn shape(snapshot: &Snapshot) -> Vec<(Address, u64)> {
    snapshot.entries.iter().map(|entry| (entry.contributor, entry.cluster)).collect()
}

#[test]
fn accepted_records_are_in_the_snapshot_in_order_with_proofs() {
    let mut fixture = Fixture::new();
    let first = [text("the quick brown fox jumps over the dog"), text("completely different words in here")];
    fixture.contribute(1, &first);
    fixture.contribute(2, &[text("The quick brown fox jumps over the dog!"), text("a third statement about the sea")]);
    let snapshot = fixture.datanets.take_snapshot(NET).unwrap();
    let (one, two) = (signer(1).address(), signer(2).address());
    assert_eq!(shape(&snapshot), [(one, 1), (one, 2), (two, 3)]);
    assert_eq!((snapshot.id, snapshot.contributor_count()), (SnapshotId(1), 2));
    let records = fixture.datanets.snapshot_records(&snapshot).unwrap();
    assert_eq!(records[0].record, first[0]);
    for record in &records {
        let hash = record.entry.record_hash;
        let (entry, proof) = fixture.datanets.prove_record(NET, snapshot.id, hash).unwrap().unwrap();
        assert!(proof.verify(snapshot.root(), entry.leaf_hash(record.index)));
        assert!(!proof.verify(snapshot.root(), entry.leaf_hash(record.index + 1)));
    }
    assert_eq!(fixture.datanets.snapshot(NET, SnapshotId(1)).unwrap(), snapshot);
    assert_eq!(fixture.datanets.take_snapshot(NET).unwrap(), snapshot, "nothing changed");
}

#[test]
fn the_earlier_commitment_wins_whatever_is_revealed_first() {
    let original = [text("all about the migration of northern birds in autumn"), text("how copper is smelted")];
    let copy = [text("All about the migration of northern birds in Autumn."), text("a sentence of its own")];
    let outcome = |copy_first: bool| {
        let fixture = Fixture::new();
        let (honest, copied) = (fixture.prepare(1, &original), fixture.prepare(2, &copy));
        fixture.commit(&honest, 10);
        fixture.commit(&copied, 11);
        let mut order = [(1, &honest), (2, &copied)];
        if copy_first {
            order.reverse();
        }
        for (contributor, batch) in order {
            fixture.reveal_and_accept(contributor, batch);
        }
        let duplicate = fixture.datanets.statement(copied.records()[0].hash()).unwrap();
        assert_eq!(duplicate.status, RecordStatus::Duplicate);
        assert_eq!(duplicate.duplicate_of, Some(honest.records()[0].hash()));
        assert!(duplicate.reason().unwrap().contains("has the same words"), "{:?}", duplicate.reason());
        shape(&fixture.datanets.take_snapshot(NET).unwrap())
    };
    assert_eq!(outcome(false), outcome(true));
}

/// Many batches with overlapping content, accepted in many orders: one outcome.
#[test]
fn the_order_of_reveals_never_changes_the_outcome() {
    let contents: Vec<Vec<Record>> =
        (0..5).map(|batch| [sentences("alpha", 4 + batch), sentences("beta", 7 - batch)].concat()).collect();
    let outcome = |order: &[usize]| {
        let fixture = Fixture::new();
        let batches: Vec<_> = (1..).zip(&contents).map(|(who, records)| fixture.prepare(who, records)).collect();
        (1..).zip(&batches).for_each(|(priority, batch)| fixture.commit(batch, priority));
        for position in order {
            fixture.reveal_and_accept(*position as u8 + 1, &batches[*position]);
        }
        shape(&fixture.datanets.take_snapshot(NET).unwrap())
    };
    let expected = outcome(&[0, 1, 2, 3, 4]);
    for order in [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3], [1, 4, 0, 3, 2]] {
        assert_eq!(outcome(&order), expected, "{order:?}");
    }
}

#[test]
fn duplicates_within_a_batch_count_once() {
    let mut fixture = Fixture::new();
    let report = fixture.contribute(1, &[text("one statement here"), text("One statement here."), text("and another")]);
    assert_eq!((report.accepted, report.duplicates.len()), (2, 1));
    assert_eq!((report.duplicates[0].position, report.duplicates[0].similarity_per_mille), (1, 1_000));
}

#[test]
fn steps_cannot_be_skipped_and_repeat_without_effect() {
    let fixture = Fixture::new();
    let batch = fixture.prepare(1, &[text("something")]);
    let commitment = batch.commitment();
    let early = fixture.datanets.mark_revealed(commitment, &sign(1, &batch)).unwrap_err();
    assert!(matches!(early, BatchError::WrongState { state: BatchState::Prepared, wanted: BatchState::Committed, .. }));
    fixture.commit(&batch, 5);
    fixture.commit(&batch, 5);
    let other = fixture.datanets.mark_committed(commitment, 6).unwrap_err();
    assert_eq!(other.to_string(), format!("batch {commitment} has priority 5, not 6"));
    assert!(matches!(fixture.datanets.accept(commitment), Err(BatchError::WrongState { .. })));
    assert!(matches!(fixture.datanets.mark_revealed(commitment, &sign(2, &batch)), Err(BatchError::Consent(_))));
    let first = fixture.reveal_and_accept(1, &batch);
    assert_eq!(fixture.reveal_and_accept(1, &batch), first);
    let unknown = B256::repeat_byte(9);
    assert!(matches!(fixture.datanets.accept(unknown), Err(BatchError::Unknown { .. })));
    let stored = fixture.datanets.batch(commitment).unwrap();
    assert_eq!((stored.batch, stored.state, stored.priority), (batch, BatchState::Accepted, Some(5)));
}

/// A contract wallet's signature is bytes that only the wallet understands; the registry has asked it.
#[test]
fn what_the_registry_reveals_is_accepted_with_whatever_its_contributor_signed() {
    let fixture = Fixture::new();
    let (wallet, account) = (fixture.prepare(1, &[text("of a wallet")]), fixture.prepare(2, &[text("and an account")]));
    let signature = sign(2, &account);
    let cases = [(1, &wallet, &b"whatever it signs"[..], None), (2, &account, &signature, Some(&signature))];
    for (priority, batch, consent, kept) in cases {
        let commitment = batch.commitment();
        let early = fixture.datanets.mark_revealed_on_chain(commitment, consent).unwrap_err();
        assert!(matches!(early, BatchError::WrongState { state: BatchState::Prepared, .. }));
        fixture.commit(batch, priority);
        assert!(consent.len() == 65 || fixture.datanets.mark_revealed(commitment, consent).is_err());
        fixture.datanets.mark_revealed_on_chain(commitment, consent).unwrap();
        assert_eq!(fixture.datanets.accept(commitment).unwrap().accepted, 1);
        assert_eq!(fixture.datanets.batch(commitment).unwrap().consent.as_ref(), kept);
    }
}

#[test]
fn a_revoked_record_leaves_the_next_snapshot_and_lets_no_copy_in() {
    let mut fixture = Fixture::new();
    fixture.contribute(1, &[text("a secret that was shared too early"), text("an unrelated thing")]);
    let before = fixture.datanets.take_snapshot(NET).unwrap();
    let record = before.entries[0].record_hash;
    let shown = fixture.datanets.shown_record(record).unwrap();
    let salt = shown.salt.expect("what is not taken back can be tied to its hash");
    assert_eq!(record_hash(salt, &shown.record.canonical_bytes()), record);
    let stranger = fixture.datanets.revoke(record, signer(2).address()).unwrap_err();
    assert!(matches!(stranger, RecordAccessError::NotContributor { .. }));
    fixture.datanets.revoke(record, signer(1).address()).unwrap();
    fixture.datanets.revoke(record, signer(1).address()).unwrap();
    let copied = fixture.contribute(2, &[text("A secret that was shared too early!"), text("something else again")]);
    assert_eq!(copied.accepted, 1);
    let after = fixture.datanets.take_snapshot(NET).unwrap();
    assert_eq!((after.id, after.entries.len()), (SnapshotId(2), 2));
    assert!(after.entries.iter().all(|entry| entry.record_hash != record));
    assert_eq!(fixture.datanets.snapshot(NET, SnapshotId(1)).unwrap(), before, "snapshots never change");
    let statement = fixture.datanets.statement(record).unwrap();
    assert_eq!(statement.status, RecordStatus::Revoked);
    assert!(statement.revoked_at.is_some());
    assert_eq!(fixture.datanets.shown_record(record).unwrap().salt, None, "its hash says nothing any more");
}

#[test]
fn listings_page_through_every_record_once() {
    let mut fixture = Fixture::new();
    fixture.contribute(1, &sentences("gamma", 7));
    fixture.contribute(2, &[sentences("gamma", 2), sentences("delta", 3)].concat());
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = fixture.datanets.records(NET, RecordFilter::default(), after, 5).unwrap();
        seen.extend(page.rows.into_iter().map(|statement| statement.record));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 12);
    let duplicates = RecordFilter { contributor: Some(signer(2).address()), status: Some(RecordStatus::Duplicate) };
    let page = fixture.datanets.records(NET, duplicates, 0, 100).unwrap();
    assert_eq!((page.rows.len(), page.next), (2, None));
    assert!(page.rows.iter().all(|statement| statement.reason().is_some()));
}

#[test]
fn datanets_are_checked_and_never_change_silently() {
    let fixture = Fixture::new();
    fixture.datanets.create(&info()).unwrap();
    let renamed = DatanetInfo { name: "Other".to_owned(), ..info() };
    assert!(matches!(fixture.datanets.create(&renamed), Err(DatanetError::Exists { datanet: NET })));
    let nameless = DatanetInfo::new(DatanetId(2), Address::ZERO, "", terms());
    assert!(matches!(fixture.datanets.create(&nameless), Err(DatanetError::Name { bytes: 0 })));
    let lax = DatanetInfo { similarity_per_mille: 100, ..DatanetInfo::new(DatanetId(2), Address::ZERO, "x", terms()) };
    assert!(matches!(fixture.datanets.create(&lax), Err(DatanetError::Similarity { per_mille: 100 })));
    assert!(matches!(fixture.datanets.datanet(DatanetId(9)), Err(DatanetError::Unknown { .. })));
    assert_eq!(fixture.datanets.datanets(None, 10).unwrap(), [info()]);
    assert!(matches!(fixture.datanets.take_snapshot(NET), Err(SnapshotError::Empty { .. })));
    let absent = RecordHash(B256::ZERO);
    assert!(matches!(fixture.datanets.record(absent), Err(RecordAccessError::Unknown { .. })));
}

#[test]
fn a_preview_says_what_a_snapshot_would_hold_and_what_it_leaves_out() {
    let mut fixture = Fixture::new();
    let empty = fixture.datanets.preview_snapshot(NET).unwrap();
    assert_eq!((empty.snapshot.entries.len(), empty.is_new, empty.snapshot.id), (0, true, SnapshotId(1)));
    let first = [text("the quick brown fox jumps over the dog"), text("completely different words in here")];
    fixture.contribute(1, &first);
    fixture.contribute(2, &[text("The quick brown fox jumps over the dog!"), text("a third statement about the sea")]);
    let committed = fixture.prepare(3, &[text("nobody has seen this statement yet"), text("and nobody has seen this")]);
    fixture.commit(&committed, 90);
    let unseen = fixture.prepare(4, &[text("this one is on no chain at all")]);
    let preview = fixture.datanets.preview_snapshot(NET).unwrap();
    let (one, two) = (signer(1).address(), signer(2).address());
    assert_eq!(shape(&preview.snapshot), [(one, 1), (one, 2), (two, 3)]);
    assert_eq!((preview.is_new, &preview.contributors[..]), (true, &[(one, 2), (two, 1)][..]));
    let excluded =
        [Excluded { why: Exclusion::Duplicate, records: 1 }, Excluded { why: Exclusion::NotRevealed, records: 2 }];
    assert_eq!(preview.excluded, excluded);
    assert_eq!(preview.named.len(), 1, "what is not revealed is not named: {:?}", preview.named);
    assert!(preview.named[0].1.contains("has the same words"), "{:?}", preview.named);
    assert!(!preview.named.iter().any(|(hash, _)| *hash == unseen.records()[0].hash()));
    // Looking takes nothing, and what is taken is what was seen.
    assert_eq!(fixture.datanets.latest_snapshot(NET).unwrap(), None);
    let taken = fixture.datanets.take_snapshot(NET).unwrap();
    assert_eq!((&taken, taken.root()), (&preview.snapshot, preview.snapshot.root()));
    assert_eq!(openledger_primitives::keccak256(taken.body()), preview.content_hash);
    assert!(!fixture.datanets.preview_snapshot(NET).unwrap().is_new);
    fixture.datanets.revoke(taken.entries[1].record_hash, one).unwrap();
    let revoked = fixture.datanets.preview_snapshot(NET).unwrap();
    assert_eq!((revoked.is_new, revoked.snapshot.id, revoked.snapshot.entries.len()), (true, SnapshotId(2), 2));
    assert!(revoked.excluded.contains(&Excluded { why: Exclusion::Revoked, records: 1 }));
}
