//! Tracing within a limit: what a trace records is counted while it is recorded.

use std::collections::{HashMap, HashSet};

use alloy_evm::{Evm, EvmEnv};
use alloy_op_evm::OpTx;
use alloy_primitives::{Address, Log, U256};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use op_revm::OpSpecId;
use revm::{
    DatabaseRef, Inspector,
    bytecode::opcode::{SLOAD, SSTORE},
    context_interface::{ContextTr, context::ContextError},
    inspector::JournalExt,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
        interpreter_types::{InputsTr, Jumps},
    },
};
use revm_inspectors::tracing::{
    DebugInspector, StackSnapshotType, TracingInspector,
    types::{CallTraceNode, CallTraceStep},
};

use crate::{
    call::{CallDb, evm_error},
    error::CallError,
    evm::inspected_evm,
};

/// Bytes that one trace may record: twice what an answer may have. What is shown of it takes up to three times as much.
const TRACE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a stack item and of a memory word.
const WORD_BYTES: usize = 32;
/// Bytes of a slot with its value where a step shows its contract's storage.
const SLOT_BYTES: usize = 2 * WORD_BYTES;

/// Executes `tx` and reports what it did, as `options` ask.
///
/// # Errors
/// [`CallError::TraceTooLong`] at the step that exceeds the limit; [`CallError::Invalid`] if the tracer is not supported.
pub(crate) fn trace(
    mut db: CallDb,
    env: EvmEnv<OpSpecId>,
    tx: OpTx,
    options: GethDebugTracingOptions,
) -> Result<GethTrace, CallError> {
    let invalid = |error: &dyn std::fmt::Display| CallError::Invalid(error.to_string());
    let mut inspector = Limited::new(DebugInspector::new(options).map_err(|e| invalid(&e))?);
    let block_env = env.block_env.clone();
    let executed = {
        let mut evm = inspected_evm(&mut db, env, &mut inspector);
        evm.transact_raw(tx.clone())
    };
    if inspector.exceeded() {
        return Err(CallError::TraceTooLong { limit: TRACE_BYTES_MAX });
    }
    let executed = executed.map_err(evm_error)?;
    inspector.inner.get_result(None, &tx, &block_env, &executed, &mut db).map_err(|e| invalid(&e))
}

/// What a tracer keeps.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    frames: bool,
    steps: bool,
    stack: bool,
    memory: bool,
    storage: bool,
}

impl Kept {
    fn by(inspector: &DebugInspector) -> Self {
        let of = |tracer: &TracingInspector| {
            let config = tracer.config();
            Self {
                frames: true,
                steps: config.record_steps,
                stack: !matches!(config.record_stack_snapshots, StackSnapshotType::None),
                memory: config.record_memory_snapshots,
                storage: config.record_state_diff,
            }
        };
        match inspector {
            DebugInspector::FourByte(_) | DebugInspector::Noop(_) => Self::default(),
            // It combines tracers of calls, none of which keeps steps.
            DebugInspector::Mux(..) => Self { frames: true, ..Self::default() },
            DebugInspector::CallTracer(tracer, _)
            | DebugInspector::PreStateTracer(tracer, _)
            | DebugInspector::FlatCallTracer(tracer)
            | DebugInspector::Erc7562Tracer(tracer, _)
            | DebugInspector::Default(tracer, _) => of(tracer),
        }
    }
}

/// A tracer that ends the execution when it has recorded too much.
struct Limited {
    inner: DebugInspector,
    kept: Kept,
    recorded_bytes: usize,
    /// Slots touched so far: a step that touches one shows all of its contract's.
    slots: HashMap<Address, HashSet<U256>>,
}

impl Limited {
    fn new(inner: DebugInspector) -> Self {
        let kept = Kept::by(&inner);
        Self { inner, kept, recorded_bytes: 0, slots: HashMap::new() }
    }

    fn exceeded(&self) -> bool {
        self.recorded_bytes > TRACE_BYTES_MAX
    }

    fn count(&mut self, bytes: usize) {
        self.recorded_bytes = self.recorded_bytes.saturating_add(bytes);
    }

    fn count_frame(&mut self, input_bytes: usize) {
        if self.kept.frames {
            self.count(size_of::<CallTraceNode>() + input_bytes);
        }
    }

    fn count_output(&mut self, bytes: usize) {
        if self.kept.frames {
            self.count(bytes);
        }
    }

    fn count_step(&mut self, interp: &Interpreter) {
        if !self.kept.steps {
            return;
        }
        let stack = if self.kept.stack { interp.stack.len() * WORD_BYTES } else { 0 };
        let memory = if self.kept.memory { interp.memory.len() } else { 0 };
        let storage = self.shown_slots(interp) * SLOT_BYTES;
        self.count(size_of::<CallTraceStep>() + stack + memory + storage);
    }

    fn shown_slots(&mut self, interp: &Interpreter) -> usize {
        if !self.kept.storage || !matches!(interp.bytecode.opcode(), SLOAD | SSTORE) {
            return 0;
        }
        let slots = self.slots.entry(interp.input.target_address()).or_default();
        slots.extend(interp.stack.peek(0));
        slots.len()
    }
}

impl<CTX> Inspector<CTX> for Limited
where
    CTX: ContextTr<Journal: JournalExt, Db: DatabaseRef>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.initialize_interp(interp, context);
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.count_step(interp);
        if !self.exceeded() {
            return self.inner.step(interp, context);
        }
        // The error ends the callers too, which a halt alone would not.
        *context.error() = Err(ContextError::Custom("the trace is too long".into()));
        interp.halt_fatal();
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.step_end(interp, context);
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.inner.log(context, log);
    }

    fn log_full(&mut self, interp: &mut Interpreter, context: &mut CTX, log: Log) {
        self.inner.log_full(interp, context, log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.count_frame(inputs.input.len());
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.count_output(outcome.result.output.len());
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.count_frame(inputs.init_code().len());
        self.inner.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.count_output(outcome.result.output.len());
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        Inspector::<CTX>::selfdestruct(&mut self.inner, contract, target, value);
    }
}
