/** Files on their way into a Datanet: dropped, mapped, interrupted, taken up again. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ENDINGS, FORMATS } from "../src/pages/datanets/contribute/files";
import type { FileFormat } from "../src/pages/datanets/queries";
import { fieldGuide } from "./records";
import { seedDatanet } from "./seed";
import { setting } from "./setup";
import { actAs, expect, type Locator, type Page, settled, test } from "./test";

/** A development account that nothing else here uses. */
const CONTRIBUTOR = 8;
/** Bytes that the page sends at once. */
const CHUNK_BYTES = 1024 * 1024;

let datanet = 0;

test.beforeAll(async () => {
  datanet = (await seedDatanet(setting(), "Files of every kind", fieldGuide("Edsger"))).id;
});

test.beforeEach(async ({ page }) => {
  await actAs(page, CONTRIBUTOR);
  await page.goto(`/datanets/${datanet}/contribute`);
  await settled(page);
});

/** Drops files from the disk onto the page, as a file manager does. */
async function drop(page: Page, files: string[]): Promise<void> {
  const box = await page.getByText("Drop files here, or").boundingBox();
  if (box === null) throw new Error("there is no place to drop files");
  const devtools = await page.context().newCDPSession(page);
  const place = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await devtools.send("Input.dispatchDragEvent", { type, ...place, data });
  }
}

interface Dropped {
  format: FileFormat;
  name: string;
  body: string | Buffer;
  /** Columns to choose, where the file's own names say nothing: offered from a list, or typed where the page cannot see them. */
  columns?: { prompt: string; response: string; typed?: true };
  records: number;
  /** Rows that become no record. */
  rejected?: number;
  /** Part of the first record, as the page shows it. */
  first: string;
}

const CSV = '"Which bird sings at night?","The nightingale, from deep within a hedge."\n';
const PARAGRAPHS =
  "Swifts sleep on the wing, high above the roofs.\n\nSand martins dig tunnels into steep banks of rivers.\n";
const SECTIONS =
  "# Wrens\n\nWrens roost together in cold nights.\n\n# Dippers\n\nDippers walk under water against the current.\n";

const DROPPED: readonly Dropped[] = [
  {
    format: "jsonl",
    name: "dropped.jsonl",
    body: fieldGuide("Tony"),
    records: 8,
    first: "Tony asks which bird",
  },
  {
    format: "jsonl",
    name: "other-keys.ndjson",
    body: '{"frage":"Which bird stores acorns?","antwort":"The jay, thousands of them each autumn."}\n',
    columns: { prompt: "frage", response: "antwort" },
    records: 1,
    first: "Which bird stores acorns?",
  },
  {
    format: "csv",
    name: "dropped.csv",
    body: `prompt,response\n${CSV}`,
    records: 1,
    first: "The nightingale, from deep within a hedge.",
  },
  {
    format: "parquet",
    name: "dropped.parquet",
    body: readFileSync(new URL("../../crates/datanet/tests/golden/owls.parquet", import.meta.url)),
    columns: { prompt: "description", response: "technique", typed: true },
    records: 2,
    rejected: 1,
    first: "The short-eared owl, before it drops onto a vole.",
  },
  { format: "text", name: "dropped.txt", body: PARAGRAPHS, records: 2, first: "Swifts sleep on the wing" },
  {
    format: "text",
    name: "dropped.text",
    body: "One paragraph about gannets.",
    records: 1,
    first: "gannets",
  },
  { format: "markdown", name: "dropped.md", body: SECTIONS, records: 2, first: "Wrens roost together" },
  {
    format: "markdown",
    name: "dropped.markdown",
    body: "# Grebes\n\nGrebes carry their chicks on their backs.\n",
    records: 1,
    first: "Grebes carry their chicks",
  },
];

test("files of every format are dropped, each looked through as what it is, with columns where they must be chosen", async ({
  page,
  setting,
  watched,
}) => {
  const endings = DROPPED.map(({ name }) => name.slice(name.lastIndexOf(".")));
  expect(endings.toSorted()).toEqual(ENDINGS.toSorted());
  const paths = DROPPED.map(({ name, body }) => {
    const path = join(setting.scratch, name);
    writeFileSync(path, body);
    return path;
  });
  await drop(page, paths);
  for (const { format, name, columns, records, rejected = 0, first } of DROPPED) {
    const card = page.getByRole("main").getByRole("region", { name, exact: true });
    await expect(card.getByRole("button", { name: /Format$/ })).toContainText(FORMATS[format].label);
    if (columns !== undefined) await map(page, card, columns);
    await expect(card.getByRole("region", { name: "First records" })).toContainText(first);
    const unusable = card.getByRole("table", { name: "Rows that cannot be used" }).locator("tbody tr");
    await expect(unusable).toHaveCount(rejected);
    const use = `Use ${records} record${records === 1 ? "" : "s"}`;
    await expect(card.getByRole("button", { name: use, exact: true })).toBeVisible();
    await card.getByRole("button", { name: "Remove" }).click();
    await page
      .getByRole("dialog", { name: `Remove ${name}?` })
      .getByRole("button", { name: "Remove" })
      .click();
    await expect(card).toHaveCount(0);
  }
  // A file whose columns are not known yet is refused by the node with a reason, which the browser notes as a failed request.
  const refusals = DROPPED.filter(({ columns }) => columns !== undefined).length;
  const unexpected = watched.errors.filter((text) => !/status of 4\d\d .*\/batches\)$/.test(text));
  expect(unexpected).toEqual([]);
  expect(watched.errors.length).toBeGreaterThanOrEqual(refusals);
});

/** Says which columns make question and answer of a file that cannot be used without. */
async function map(page: Page, card: Locator, columns: NonNullable<Dropped["columns"]>): Promise<void> {
  await expect(card.getByRole("alert")).toContainText("The file cannot be used like this");
  await choose(page, card.getByRole("button", { name: /Kind of record/ }), "Question and answer");
  for (const role of ["prompt", "response"] as const) {
    const label = `Column of the ${role}`;
    if (columns.typed) await card.getByRole("textbox", { name: label }).fill(columns[role]);
    else await choose(page, card.getByRole("button", { name: new RegExp(label) }), columns[role]);
  }
}

test("columns are chosen live, rows that cannot be used are named, copies are found before anything is signed", async ({
  page,
}) => {
  const rows = [
    "frage,antwort",
    '"Which owl hunts by day?","The short-eared owl, low over open fields."',
    '"A question without an answer",""',
    '"Which owl hunts by day?","The short-eared owl, low over open fields."',
  ];
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose files" }).click();
  await (await chooser).setFiles({
    name: "owls.csv",
    mimeType: "text/csv",
    buffer: Buffer.from(`${rows.join("\n")}\n`),
  });
  const card = page.getByRole("main").getByRole("region", { name: "owls.csv" });
  await expect(card.getByRole("alert")).toContainText("The file cannot be used like this");

  await choose(page, card.getByRole("button", { name: /Kind of record/ }), "Question and answer");
  await choose(page, card.getByRole("button", { name: /Column of the prompt/ }), "frage");
  await choose(page, card.getByRole("button", { name: /Column of the response/ }), "antwort");
  await expect(
    card.getByText("Used now: question and answer from frage as prompt, antwort as response."),
  ).toBeVisible();

  const unusable = card.getByRole("table", { name: "Rows that cannot be used" });
  await expect(unusable.locator("tbody tr")).toHaveCount(1);
  await expect(unusable.locator("tbody tr")).toContainText("antwort");
  const copies = card.getByRole("table", { name: "Likely copies" });
  await expect(copies.locator("tbody tr")).toHaveCount(1);
  await expect(copies.locator("tbody tr")).toContainText("100.0 %");
});

async function choose(page: Page, select: ReturnType<Page["getByRole"]>, option: string): Promise<void> {
  await select.click();
  await page.getByRole("option", { name: option }).click();
  // The list fades out; the next one must not be taken for it.
  await expect(page.getByRole("option")).toHaveCount(0);
}

test("an upload that a reload interrupts goes on where it stopped", async ({ page }) => {
  const paragraph = (at: number) =>
    `Paragraph ${at}: ${`${(at * 7919) % 10007} wings over the water `.repeat(900)}`;
  const text = Array.from({ length: 120 }, (_, at) => paragraph(at)).join("\n\n");
  const file = { name: "long.txt", mimeType: "text/plain", buffer: Buffer.from(text) };
  expect(file.buffer.length).toBeGreaterThan(2 * CHUNK_BYTES);
  const put = /\/v1\/uploads\/[^/]+\?offset=/;
  const offset = (url: string) => Number(new URL(url).searchParams.get("offset"));
  // The first part arrives; the second is on its way when the page is gone.
  await page.route(put, (route) => (offset(route.request().url()) === 0 ? route.continue() : undefined));
  const second = page.waitForRequest((request) => put.test(request.url()) && offset(request.url()) > 0);
  const pick = async () => {
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Choose files" }).click();
    await (await chooser).setFiles(file);
  };
  await pick();
  await second;
  await page.reload();
  await settled(page);
  const card = page.getByRole("main").getByRole("region", { name: file.name });
  await expect(card.getByText(/^Sending stopped at 1.0 MB of/)).toBeVisible();

  await page.unrouteAll({ behavior: "ignoreErrors" });
  const sent: number[] = [];
  page.on("request", (request) => {
    if (request.method() === "PUT" && put.test(request.url())) sent.push(offset(request.url()));
  });
  await pick();
  await expect(card.getByText("to look through")).toBeVisible();
  const parts = Math.ceil(file.buffer.length / CHUNK_BYTES) - 1;
  expect(sent).toEqual(Array.from({ length: parts }, (_, at) => (at + 1) * CHUNK_BYTES));
});
