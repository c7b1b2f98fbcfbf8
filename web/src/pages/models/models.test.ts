import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type LineageNode, layOut, NODE, shorten } from "./layout";
import { accuracy, comparison, readManifest } from "./manifest";
import { cost, feeText, percent, perThousand, type Split, splitParts } from "./price";

const golden: unknown = JSON.parse(
  readFileSync(new URL("../../../../crates/train/tests/golden/manifest-v1.json", import.meta.url), "utf8"),
);

describe("a manifest", () => {
  it("is read as the trainer writes it", () => {
    const manifest = readManifest(golden);
    expect(manifest.snapshots).toEqual([{ datanet: 1, snapshot: 1, root: `0x${"03".repeat(32)}` }]);
    expect(manifest.tuned).toEqual({ records: 10, loss: 0.125, answers: 10, exact: 8 });
    expect(manifest.rank).toBe(4);
    expect(manifest.targets).toContain("gate_proj");
    expect(manifest.indexRoot).toBe(`0x${"66".repeat(32)}`);
    expect(manifest.data).toEqual({ used: 9, truncated: 1, refused: 2, targets: 90 });
    expect(comparison(manifest.base, manifest.tuned)).toContain("8 of 10, against 0 of 10");
  });

  it("may be anything at all", () => {
    for (const hostile of [
      null,
      7,
      "x",
      [],
      { snapshots: 1, evaluation: { base: "x" }, lora: { targets: [{}] } },
    ]) {
      const manifest = readManifest(hostile);
      expect(manifest.snapshots).toEqual([]);
      expect(manifest.base).toBeNull();
      expect(comparison(manifest.base, manifest.tuned)).toContain("measured nothing");
    }
  });

  it("gives an accuracy only where there was something to compare", () => {
    expect(accuracy({ records: 4, loss: 1, answers: 0, exact: 0 })).toBeNull();
    expect(accuracy({ records: 4, loss: 1, answers: 4, exact: 3 })).toBe(0.75);
  });
});

describe("a price", () => {
  it("is exact beyond what numbers hold", () => {
    expect(perThousand("9007199254740993")).toBe(9007199254740993000n);
    expect(cost({ input_wei: "10", output_wei: "20" }, 100, 200)).toBe(5000n);
  });

  it("is split into parts that add up to the whole", () => {
    const parts = splitParts({
      burn: 500,
      operator: 2000,
      builder: 1500,
      parents: 0,
      stakers: 1000,
      provenance: 2000,
    });
    expect(parts.reduce((sum, part) => sum + part.bps, 0)).toBe(10_000);
    expect(parts[0]?.bps).toBe(4000);
    expect(parts[1]?.bps).toBe(1000);
    expect(percent(1250)).toBe("12.5 %");
  });

  it("names the builders of parents where they are paid, and nobody who gets nothing", () => {
    const split = { burn: 500, operator: 2000, builder: 1500, parents: 0, stakers: 1000, provenance: 2000 };
    const text = (one: Split) => feeText(one, "you").replaceAll("\u00a0", " ");
    expect(text(split)).toBe(
      "50 % to the data's contributors, 20 % to the operator, 15 % to you, 10 % to stakers, 5 % is burned",
    );
    const parented = { ...split, parents: 500 };
    expect(text(parented)).toContain("45 % to the data's contributors");
    expect(text(parented)).toContain("5 % to the builders of its parent models");
    expect(text({ ...split, parents: 325 })).toContain("3.25 % to the builders of its parent models");
    const parts = splitParts(parented);
    expect(parts.find(({ name }) => name === "Builders of its parents")?.bps).toBe(500);
    expect(parts.reduce((sum, part) => sum + part.bps, 0)).toBe(10_000);
  });
});

describe("the lineage", () => {
  const node = (id: string, kind: LineageNode["kind"]): LineageNode => ({
    id,
    kind,
    role: kind,
    label: id,
    note: null,
    to: null,
  });

  it("stands in layers without overlap and leads through the model", () => {
    const nodes = [
      node("d1", "datanet"),
      node("d2", "datanet"),
      node("b", "base"),
      node("m", "self"),
      node("c", "child"),
    ];
    const { nodes: placed, edges, width, height } = layOut(nodes);
    expect(edges.map(({ from, to }) => `${from}>${to}`)).toEqual(["d1>m", "d2>m", "b>m", "m>c"]);
    for (const one of placed) {
      expect(one.x + NODE.width).toBeLessThanOrEqual(width);
      expect(one.y + NODE.height).toBeLessThanOrEqual(height);
      for (const other of placed) {
        if (other === one || other.x !== one.x) continue;
        expect(Math.abs(other.y - one.y)).toBeGreaterThanOrEqual(NODE.height);
      }
    }
  });

  it("leaves out layers that are empty", () => {
    expect(layOut([node("m", "self")]).width).toBe(NODE.width + 2 * NODE.margin);
  });

  it("cuts long names between characters", () => {
    expect(shorten("a".repeat(30))).toHaveLength(22);
    expect(shorten("🙂".repeat(30), 3)).toBe("🙂🙂…");
  });
});
