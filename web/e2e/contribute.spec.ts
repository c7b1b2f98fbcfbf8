/** Files on their way into a Datanet: dropped, mapped, interrupted, taken up again. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fieldGuide } from "./records";
import { seedDatanet } from "./seed";
import { setting } from "./setup";
import { actAs, expect, type Page, settled, test } from "./test";

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

test("files that are dropped are looked through, each as what it is", async ({ page, setting, watched }) => {
  const files: [string, string][] = [
    ["dropped.jsonl", fieldGuide("Tony")],
    [
      "dropped.csv",
      'prompt,response\n"Which bird sings at night?","The nightingale, from deep within a hedge."\n',
    ],
    ["dropped.md", "# Wrens\n\nWrens roost together in cold nights, up to sixty of them in one nest box.\n"],
  ];
  const paths = files.map(([name, text]) => {
    const path = join(setting.scratch, name);
    writeFileSync(path, text);
    return path;
  });
  await drop(page, paths);
  const main = page.getByRole("main");
  for (const [name, records] of [
    ["dropped.jsonl", 8],
    ["dropped.csv", 1],
    ["dropped.md", 1],
  ] as const) {
    const card = main.getByRole("region", { name, exact: true });
    await expect(
      card.getByRole("button", { name: `Use ${records} record${records === 1 ? "" : "s"}` }),
    ).toBeVisible();
    await card.getByRole("button", { name: "Remove" }).click();
    await page
      .getByRole("dialog", { name: `Remove ${name}?` })
      .getByRole("button", { name: "Remove" })
      .click();
    await expect(card).toHaveCount(0);
  }
  expect(watched.errors).toEqual([]);
});

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
