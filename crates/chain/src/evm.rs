//! The EVM of this chain: op-revm with what its precompiles lack.

use alloy_evm::{
    Database, Evm, EvmEnv, EvmFactory,
    precompiles::{DynPrecompile, Precompile, PrecompileInput, PrecompilesMap},
};
use alloy_op_evm::{OpEvm, OpEvmContext, OpEvmFactory, OpTx};
use op_revm::OpSpecId;
use revm::{
    Inspector,
    inspector::NoOpInspector,
    precompile::{PrecompileHalt, PrecompileId, PrecompileOutput, bn254},
};

/// Longest input of the bn256 pairing since Karst, in bytes; op-revm 20 still has Jovian's limit.
const KARST_PAIRING_BYTES_MAX: usize = 57_600;

/// An EVM over `db`.
pub(crate) fn op_evm<DB: Database>(db: DB, env: EvmEnv<OpSpecId>) -> OpEvm<DB, NoOpInspector, PrecompilesMap> {
    let spec = env.cfg_env.spec;
    let mut evm = OpEvmFactory::<OpTx>::default().create_evm(db, env);
    cap_pairing(evm.components_mut().2, spec);
    evm
}

/// An EVM over `db` that tells `inspector` what it does.
pub(crate) fn inspected_evm<DB, I>(db: DB, env: EvmEnv<OpSpecId>, inspector: I) -> OpEvm<DB, I, PrecompilesMap>
where
    DB: Database,
    I: Inspector<OpEvmContext<DB>>,
{
    let spec = env.cfg_env.spec;
    let mut evm = OpEvmFactory::<OpTx>::default().create_evm_with_inspector(db, env, inspector);
    cap_pairing(evm.components_mut().2, spec);
    evm
}

fn cap_pairing(precompiles: &mut PrecompilesMap, spec: OpSpecId) {
    if !spec.is_enabled_in(OpSpecId::KARST) {
        return;
    }
    precompiles.map_precompile(&bn254::pair::ADDRESS, |pairing| {
        DynPrecompile::new(PrecompileId::Bn254Pairing, move |input: PrecompileInput<'_>| {
            if input.data.len() > KARST_PAIRING_BYTES_MAX {
                return Ok(PrecompileOutput::halt(PrecompileHalt::Bn254PairLength, input.reservoir));
            }
            pairing.call(input)
        })
    });
}
