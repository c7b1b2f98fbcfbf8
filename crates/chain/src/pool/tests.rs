use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::Signature;

use super::*;

const STATE: SenderState = SenderState { nonce: 0, balance: U256::MAX };

fn bid(sender: u8, nonce: u64, wei: u128) -> PooledTx {
    let tx = TxEip1559 { nonce, max_fee_per_gas: wei, max_priority_fee_per_gas: wei, ..TxEip1559::default() };
    let tx = OpTxEnvelope::Eip1559(tx.into_signed(Signature::test_signature()));
    PooledTx::new(Recovered::new_unchecked(tx, Address::repeat_byte(sender)), Bytes::from_static(&[0; 100]), U256::ZERO)
}

/// Inserts `tx`, which is not acknowledged yet; gives its hash.
fn offer(pool: &mut Pool, tx: PooledTx) -> B256 {
    let hash = tx.hash();
    pool.insert(tx, STATE).expect("the pool takes it");
    hash
}

fn fail(pool: &mut Pool, hash: &B256) {
    pool.take_back(hash, |_| Ok::<_, ()>(STATE)).expect("the state is known");
}

#[test]
fn replacements_that_fail_in_any_order_leave_what_was_acknowledged() {
    for first_fails_first in [true, false] {
        let mut pool = Pool::new(PoolLimits::default());
        let acknowledged = offer(&mut pool, bid(1, 0, 100));
        pool.settle(&acknowledged);
        let (first, second) = (offer(&mut pool, bid(1, 0, 200)), offer(&mut pool, bid(1, 0, 300)));
        assert_eq!(pool.encoded().len(), 3, "the journal keeps what may come back");
        let order = if first_fails_first { [first, second] } else { [second, first] };
        order.iter().for_each(|hash| fail(&mut pool, hash));
        assert!(pool.contains(&acknowledged));
        assert_eq!((pool.status().pending, pool.bytes, pool.displaced.len()), (1, 100, 0));
    }
}

#[test]
fn what_made_room_comes_back_unless_its_place_is_taken() {
    let mut pool = Pool::new(PoolLimits { transactions_max: 1, ..PoolLimits::default() });
    let cheap = offer(&mut pool, bid(1, 0, 100));
    pool.settle(&cheap);
    let dear = offer(&mut pool, bid(2, 0, 200));
    assert!(!pool.contains(&cheap));
    fail(&mut pool, &dear);
    assert!(pool.contains(&cheap));
    let dearer = offer(&mut pool, bid(3, 0, 300));
    pool.settle(&dearer);
    fail(&mut pool, &dear);
    assert!(pool.contains(&dearer) && !pool.contains(&cheap));
    assert_eq!((pool.status().pending, pool.bytes, pool.displaced.len()), (1, 100, 0));
}
