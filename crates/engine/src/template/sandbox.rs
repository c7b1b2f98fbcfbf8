//! Running a compiled template so that every operation is charged for what it handles.
//!
//! The interpreter counts steps, but one step can concatenate or compare megabytes, and doubling a
//! string forty times is forty steps. So the compiled program is rewritten before it runs: before
//! each operation whose cost grows with its operands, the operands pass through a charge, which
//! fails when the budget is used up. Slices become lists of their own. Literal text passes through the formatter, which counts output.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::{
    CodeGenerator, Instruction, Instructions, Token, Vm, WhitespaceConfig, make_string_output, parse, tokenize,
};
use minijinja::{AutoEscape, Environment, Value};

use super::budget::Budget;
use super::{STEPS_MAX, TemplateError, filters, methods};

const NAME: &str = "chat_template";
/// Deepest recursion of macros and loops, in the interpreter's units (a macro call is four).
const RECURSION_MAX: usize = 120;
/// Most tokens of one tag.
const TAG_TOKENS_MAX: usize = 512;
/// Most `elif` branches of a template.
const BRANCHES_MAX: usize = 256;
/// "Do not cache this filter's lookup", as the interpreter has it.
const UNCACHED: u8 = !0;

/// Compiles and rewrites a template.
pub(super) fn compile(source: &str) -> Result<Instructions<'_>, TemplateError> {
    let whitespace = WhitespaceConfig { trim_blocks: true, lstrip_blocks: true, ..WhitespaceConfig::default() };
    check_nesting(source, whitespace)?;
    let ast = parse(source, NAME, Default::default(), whitespace).map_err(TemplateError::Syntax)?;
    let mut generator = CodeGenerator::new(NAME, source);
    generator.compile_stmt(&ast);
    let (instructions, blocks) = generator.finish();
    if !blocks.is_empty() {
        return Err(TemplateError::Unsupported { construct: "a block" });
    }
    rewrite(&instructions, source)
}

/// The parser and compiler recurse along chains of operators and of `elif`, without a limit of their own.
fn check_nesting(source: &str, whitespace: WhitespaceConfig) -> Result<(), TemplateError> {
    let (mut tag_tokens, mut branches) = (0, 0);
    for token in tokenize(source, false, Default::default(), whitespace) {
        let (token, _) = token.map_err(TemplateError::Syntax)?;
        match token {
            Token::VariableStart | Token::BlockStart => tag_tokens = 0,
            Token::Ident("elif") => branches += 1,
            _ => {}
        }
        tag_tokens += 1;
        if tag_tokens > TAG_TOKENS_MAX {
            return Err(TemplateError::Unsupported { construct: "a tag of more than 512 tokens" });
        }
        if branches > BRANCHES_MAX {
            return Err(TemplateError::Unsupported { construct: "more than 256 branches" });
        }
    }
    Ok(())
}

/// Runs a template that [`compile`] accepts.
pub(super) fn run(source: &str, context: Value, budget: &Arc<Budget>) -> Result<String, minijinja::Error> {
    let instructions =
        compile(source).map_err(|error| minijinja::Error::new(minijinja::ErrorKind::SyntaxError, error.to_string()))?;
    let environment = environment(budget);
    let blocks = BTreeMap::new();
    let mut text = String::new();
    let mut output = make_string_output(&mut text);
    Vm::new(&environment).eval(&instructions, context, &blocks, &mut output, AutoEscape::None)?;
    drop(output);
    Ok(text)
}

fn environment(budget: &Arc<Budget>) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_recursion_limit(RECURSION_MAX);
    filters::install(&mut environment, budget);
    let for_output = budget.clone();
    environment.set_formatter(move |out, _, value| filters::write(out, value, &for_output));
    let for_methods = budget.clone();
    environment.set_unknown_method_callback(move |state, value, name, arguments| {
        methods::call(state, value, name, arguments, &for_methods)
    });
    environment
}

/// How an operation is charged.
enum Charge {
    None,
    /// Name of the charging filter, and the number of operands on the stack.
    Before(&'static str, usize),
}

fn rewrite<'s>(program: &Instructions<'s>, source: &'s str) -> Result<Instructions<'s>, TemplateError> {
    let starts = starts(program)?;
    let mut out = Instructions::new(NAME, source);
    for index in 0..program.len() as u32 {
        let Some(instruction) = program.get(index) else { break };
        let line = program.get_line(index).unwrap_or(0);
        let line = u16::try_from(line).unwrap_or(u16::MAX);
        for step in expand(instruction)? {
            out.add_with_line(retarget(step, &starts), line);
        }
    }
    Ok(out)
}

/// Where each instruction of `program` starts once all are expanded.
fn starts(program: &Instructions<'_>) -> Result<Vec<u32>, TemplateError> {
    let mut starts = Vec::with_capacity(program.len() + 1);
    let mut next = 0;
    for index in 0..program.len() as u32 {
        starts.push(next);
        if let Some(instruction) = program.get(index) {
            next += expand(instruction)?.len() as u32;
        }
    }
    starts.push(next);
    Ok(starts)
}

fn expand<'s>(instruction: &Instruction<'s>) -> Result<Vec<Instruction<'s>>, TemplateError> {
    if let Instruction::EmitRaw(text) = instruction {
        return Ok(vec![Instruction::LoadConst(Value::from(*text)), Instruction::Emit]);
    }
    let mut steps = match charge(instruction)? {
        Charge::None | Charge::Before(_, 0) => Vec::new(),
        Charge::Before(name, operands) => {
            vec![Instruction::ApplyFilter(name, Some(operands as u16), UNCACHED), Instruction::UnpackList(operands)]
        }
    };
    steps.push(instruction.clone());
    if matches!(instruction, Instruction::Slice) {
        steps.push(Instruction::ApplyFilter(filters::MAKE_LIST, Some(1), UNCACHED));
    }
    Ok(steps)
}

fn charge(instruction: &Instruction<'_>) -> Result<Charge, TemplateError> {
    use Instruction as I;
    use filters::{CHARGE_ASSIGN, CHARGE_DEEP, CHARGE_ELEMENTS, CHARGE_REPEAT, CHARGE_SHALLOW, CHARGE_STORE};
    let unsupported = |construct| Err(TemplateError::Unsupported { construct });
    Ok(match instruction {
        I::Slice => Charge::Before(CHARGE_SHALLOW, 4),
        I::Add => Charge::Before(CHARGE_SHALLOW, 2),
        I::Mul => Charge::Before(CHARGE_REPEAT, 2),
        I::StringConcat | I::Eq | I::Ne | I::Gt | I::Gte | I::Lt | I::Lte | I::In => Charge::Before(CHARGE_DEEP, 2),
        I::CompareAndPreserve(_) => return unsupported("a chain of comparisons"),
        I::UnpackList(_) | I::PushLoop(_) => Charge::Before(CHARGE_ELEMENTS, 1),
        I::SetAttr(_) => Charge::Before(CHARGE_ASSIGN, 2),
        I::BuildList(Some(count)) => Charge::Before(CHARGE_STORE, *count),
        I::BuildMap(pairs) => Charge::Before(CHARGE_STORE, 2 * pairs),
        I::BuildKwargs(pairs) => Charge::Before(CHARGE_SHALLOW, 2 * pairs),
        I::ApplyFilter("list" | "reverse" | "last", Some(count), _)
        | I::CallMethod("split" | "splitlines", Some(count)) => Charge::Before(CHARGE_ELEMENTS, usize::from(*count)),
        I::ApplyFilter(name, Some(count), _) if filters::handles_all(name) => {
            Charge::Before(CHARGE_DEEP, usize::from(*count))
        }
        I::PerformTest("eq" | "equalto" | "ne" | "in", Some(count), _) => {
            Charge::Before(CHARGE_DEEP, usize::from(*count))
        }
        I::ApplyFilter(_, Some(count), _)
        | I::PerformTest(_, Some(count), _)
        | I::CallMethod(_, Some(count))
        | I::CallFunction(_, Some(count))
        | I::CallObject(Some(count)) => Charge::Before(CHARGE_SHALLOW, usize::from(*count)),
        I::ApplyFilter(_, None, _)
        | I::PerformTest(_, None, _)
        | I::CallMethod(_, None)
        | I::CallFunction(_, None)
        | I::CallObject(None)
        | I::MergeKwargs(_)
        | I::UnpackLists(_) => return unsupported("an unpacked argument list"),
        I::CallBlock(_) | I::LoadBlocks | I::Include(_) | I::ExportLocals | I::FastSuper => {
            return unsupported("another template");
        }
        I::PushAutoEscape | I::PopAutoEscape => return unsupported("autoescape"),
        // A list of no stated length is what a loop with a condition goes over: its elements exist already.
        _ => Charge::None,
    })
}

fn retarget<'s>(instruction: Instruction<'s>, starts: &[u32]) -> Instruction<'s> {
    use Instruction as I;
    let at = |target: u32| starts.get(target as usize).copied().unwrap_or(target);
    match instruction {
        I::Iterate(target) => I::Iterate(at(target)),
        I::Jump(target) => I::Jump(at(target)),
        I::JumpIfFalse(target) => I::JumpIfFalse(at(target)),
        I::JumpIfFalseOrPop(target) => I::JumpIfFalseOrPop(at(target)),
        I::JumpIfTrueOrPop(target) => I::JumpIfTrueOrPop(at(target)),
        I::BuildMacro(name, target, flags) => I::BuildMacro(name, at(target), flags),
        other => other,
    }
}
