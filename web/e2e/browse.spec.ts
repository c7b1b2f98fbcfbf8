/** Finding things, and checking them: lists, filters, permalinks, proofs, the explorer. */
import { fieldGuide } from "./records";
import { type Seeded, seed, seedDatanet } from "./seed";
import { setting } from "./setup";
import { actAs, agree, expect, settled, test } from "./test";

/** A development account whose channel no other test uses. */
const PAYER = 5;

let seeded: Seeded;
let other = 0;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  seeded = await seed(setting());
  // Records on which no model was trained: they cannot earn.
  other = (await seedDatanet(setting(), "Nothing but one guide", fieldGuide("Niklaus"))).id;
});

test("Datanets are searched by name and owner, and an empty result says how to go on", async ({
  page,
  watched,
}) => {
  await page.goto("/datanets");
  await settled(page);
  const main = page.getByRole("main");
  const table = main.getByRole("table", { name: "Datanets" });
  await main.getByRole("searchbox", { name: "Search" }).fill("Nothing but one");
  await expect(table.locator("tbody tr")).toHaveCount(1);
  await expect(page).toHaveURL(/search=Nothing/);
  await main.getByRole("searchbox", { name: "Search" }).fill("no such name");
  await expect(table).toHaveCount(0);
  await expect(main.getByRole("button").or(main.getByRole("link")).last()).toBeVisible();
  await main.getByRole("searchbox", { name: "Search" }).fill("");
  await expect(table.getByRole("link", { name: "Seeded field guide" })).toBeVisible();
  expect(watched.errors).toEqual([]);
});

test("a bar of a histogram filters the records, and the address keeps the filter", async ({
  page,
  watched,
}) => {
  await page.goto(`/datanets/${seeded.datanet}`);
  await settled(page);
  const main = page.getByRole("main");
  const rows = main.getByRole("table", { name: "Records" }).locator("tbody tr");
  await expect(rows).toHaveCount(8);
  const bar = main.getByRole("radio", { name: /^73.*: 1 record$/ });
  await bar.click();
  await expect(rows).toHaveCount(1);
  await page.reload();
  await expect(rows).toHaveCount(1);
  await main.getByRole("button", { name: /^Remove the filter/ }).click();
  await expect(rows).toHaveCount(8);
  await main.getByRole("searchbox", { name: "Search the texts" }).fill("kingfisher");
  await main.getByRole("button", { name: "Search", exact: true }).click();
  await expect(rows).toHaveCount(1);
  expect(watched.errors).toEqual([]);
});

test("a record has an address of its own, and its proof is checked in the browser", async ({
  page,
  watched,
}) => {
  await page.goto(`/datanets/${seeded.datanet}/records/${seeded.record}`);
  await settled(page);
  const main = page.getByRole("main");
  await expect(main.getByText(/lives in the/).first()).toBeVisible();
  await main.getByRole("button", { name: "Check the proof" }).click();
  await expect(main.getByText(/holds/i).first()).toBeVisible();
  await expect(main.getByText(/does not hold|fails/i)).toHaveCount(0);
  expect(watched.errors).toEqual([]);
});

test("records that never earned say why", async ({ page, watched }) => {
  await page.goto(`/datanets/${other}`);
  await settled(page);
  await page.goto(`/earnings/${seeded.contributor}`);
  await settled(page);
  await page.getByRole("tab", { name: "Never earned, and why" }).click();
  const table = page.getByRole("table", { name: "Records that never earned" });
  await expect(table.locator("tbody tr").first()).toContainText(/snapshot|trained|answer/i);
  expect(watched.errors).toEqual([]);
});

test("a model tells where it comes from and what its fees go to", async ({ page, watched }) => {
  await page.goto("/models");
  await settled(page);
  const main = page.getByRole("main");
  await main.getByRole("searchbox", { name: "Search models" }).fill(seeded.model);
  await main.getByRole("link", { name: seeded.model, exact: true }).click();
  await settled(page);
  await main.getByText("The same as a list").click();
  const lineage = main.getByRole("region", { name: "Lineage", exact: true });
  await expect(lineage.getByRole("link", { name: "Seeded field guide" }).last()).toBeVisible();
  const parts = await main
    .getByRole("region", { name: "Who is paid" })
    .getByRole("cell")
    .filter({ hasText: /^\d+ %$/ })
    .allTextContents();
  expect(parts.reduce((sum, part) => sum + Number.parseInt(part, 10), 0)).toBe(100);
  expect(watched.errors).toEqual([]);
});

test("the explorer finds by number, hash, address and name", async ({ page }) => {
  const { transaction, contributor, receipt, model } = seeded;
  const found: [string, RegExp][] = [
    ["epoch 1", /\/explorer\/epoch\/1$/],
    [transaction, new RegExp(`/explorer/tx/${transaction}`, "i")],
    [contributor, new RegExp(`/explorer/address/${contributor}`, "i")],
    [receipt, new RegExp(`/explorer/receipt/${receipt}`, "i")],
    [model, new RegExp(`/models/${model}$`)],
  ];
  for (const [text, address] of found) {
    await page.goto("/explorer");
    await page.getByRole("searchbox", { name: /^Find a block/ }).fill(text);
    await page.getByRole("main").getByRole("button", { name: "Search" }).click();
    await expect(page).toHaveURL(address);
    await settled(page);
    await expect(page.getByRole("main").getByRole("alert")).toHaveCount(0);
  }
  // A number may mean several things: all of them are offered.
  await page.goto("/explorer?q=1");
  const meant = page.getByRole("region", { name: "“1” may mean" });
  for (const place of ["block", "epoch"]) {
    await expect(meant.locator(`a[href="/explorer/${place}/1"]`)).toBeVisible();
  }
});

test("a payment channel is opened, topped up, and what is left is asked back", async ({ page }) => {
  await actAs(page, PAYER);
  await page.goto("/account");
  await settled(page);
  const main = page.getByRole("main");
  await main.getByRole("textbox", { name: "First deposit" }).fill("2");
  await main.getByRole("button", { name: "Open the channel" }).click();
  await agree(page, "Open the channel");
  const channel = main.getByRole("region", { name: "Payment channel" });
  await expect(channel.getByText("Calls left, at least")).toBeVisible();
  await channel.getByRole("textbox", { name: "Add to the channel" }).fill("1");
  await channel.getByRole("button", { name: "Top up" }).click();
  await agree(page, /Top up/);
  await expect(channel.locator("dd", { hasText: /^3 OPEN$/ })).toHaveCount(2);
  await channel.getByRole("button", { name: "Ask back what is left" }).click();
  await agree(page, /./);
  await expect(channel.getByText(/asked back, to be taken from/)).toBeVisible();
});

test("the theme that was chosen outlives a reload", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("button", { name: /switch to dark$/ }).click();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", "dark");
});
