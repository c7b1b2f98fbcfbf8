import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { evidenceFile, evidenceName } from "./evidence";

const golden = (name: string) => new URL(`../../../../crates/cli/tests/golden/${name}`, import.meta.url);

it("writes what the command line's tests read and check", () => {
  // What the program saved stands for what the node told this page; numbers are written as a browser writes them.
  const { bundle, disclosure } = JSON.parse(readFileSync(golden("evidence-v1.json"), "utf8"));
  const written = evidenceFile(bundle, disclosure);
  if (process.env.OPENLEDGER_BLESS !== undefined) writeFileSync(golden("evidence-v1-web.json"), written);
  expect(written).toBe(readFileSync(golden("evidence-v1-web.json"), "utf8"));
});

it("names the file after its receipt", () => {
  expect(evidenceName(`0x${"12ab".repeat(16)}`)).toBe("answer-12ab12ab.json");
});
