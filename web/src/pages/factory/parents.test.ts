import { describe, expect, it } from "vitest";
import { ApiError } from "../../api/error";
import { PARENTS_MAX, type Parent, parentsOf, parentsProblem, withParents } from "./parents";

const parent = (number: number): Parent => ({
  id: `0x${number.toString(16).padStart(64, "0")}`,
  name: `model-${number}`,
});
const [first, second] = [parent(1), parent(2)];
const price = { input_wei: "1", output_wei: "2" };
const terms = { parents: [], price };

describe("parents that are chosen", () => {
  it("stand once each, in the order of choice", () => {
    expect(parentsOf([second.id, first.id, second.id], [first, second])).toEqual([second, first]);
  });

  it("are models that were found, without what else is known of them", () => {
    const row = { ...first, answers: 3 };
    expect(parentsOf([parent(3).id, first.id], [row, second])).toEqual([first]);
  });

  it("are no more than the registry takes", () => {
    const many = Array.from({ length: PARENTS_MAX + 1 }, (_, number) => parent(number));
    const ids = many.map(({ id }) => id);
    expect(parentsOf(ids, many)).toEqual(many.slice(0, PARENTS_MAX));
  });

  it("are sent by their ids, beside the price", () => {
    expect(withParents(terms, [second, first])).toEqual({ parents: [second.id, first.id], price });
    expect(withParents({ parents: [first.id], price }, [])).toEqual(terms);
  });
});

describe("a refusal by the node", () => {
  const refusal = (message: string, param: string | null = "terms.parents") =>
    new ApiError(400, "invalid_parents", message, param);
  const unknown = refusal(`parent ${second.id} is not a published model`);
  const asked = withParents(terms, [first, second]);

  it("stands at the field, with the name in the place of the id", () => {
    const answers = [
      { terms: asked, error: null },
      { terms: asked, error: unknown },
    ];
    expect(parentsProblem([first, second], answers)).toBe("Parent model-2 is not a published model.");
    const many = refusal("17 parents are named; at most 16 can be");
    expect(parentsProblem([first, second], [{ terms: asked, error: many }])).toBe(
      "17 parents are named; at most 16 can be.",
    );
    const twice = refusal(`parent ${first.id} is named twice`);
    expect(parentsProblem([first, second], [{ terms: asked, error: twice }])).toBe(
      "Parent model-1 is named twice.",
    );
  });

  it("is gone as soon as other parents are chosen", () => {
    expect(parentsProblem([first], [{ terms: asked, error: unknown }])).toBeNull();
    expect(parentsProblem([first], [{ terms: undefined, error: unknown }])).toBeNull();
  });

  it("of anything else stands elsewhere", () => {
    const other = [refusal("no such snapshot", "recipe.snapshots"), new Error("lost"), refusal("why", null)];
    for (const error of other) expect(parentsProblem([first, second], [{ terms: asked, error }])).toBeNull();
  });
});
