/** Training as it is watched and steered in the browser. */
import { seed } from "./seed";
import { setting } from "./setup";
import { actAs, expect, type Page, settled, test, violations } from "./test";

const SLOW_MS = 60_000;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  await seed(setting());
});

/** Opens the form for a job on the seeded Datanet. */
async function form(page: Page, name: string): Promise<void> {
  const { datanet } = await seed(setting());
  await page.goto(`/factory/new?datanet=${datanet}`);
  const main = page.getByRole("main");
  await expect(main.getByRole("checkbox", { name: /Seeded field guide/ })).toBeChecked();
  await main.getByRole("textbox", { name: "Name", exact: true }).fill(name);
}

async function start(page: Page): Promise<void> {
  await page
    .getByRole("main")
    .getByRole("button", { name: /^Start training/ })
    .click();
  await expect(page).toHaveURL(/\/factory\/jobs\/\d+$/);
}

const heading = (page: Page) => page.getByRole("heading", { level: 1 });

test("what a model would learn of each record is shown before it starts", async ({ page, watched }) => {
  await form(page, "looked-at-first");
  const main = page.getByRole("main");
  const estimate = main.getByRole("region", { name: "What it would take" });
  await expect(estimate.getByText(/\d+ records train/)).toBeVisible();
  for (const part of ["Training", "Memory", "Disk", "Cost"]) {
    await expect(estimate.getByText(part, { exact: true })).toBeVisible();
  }
  await main.getByRole("button", { name: "Show the first records" }).click();
  const record = main.getByRole("region", { name: "Tokens of record 1", exact: true });
  await expect(record.locator("ins")).toContainText(/lives in the/);
  await expect(record.locator("ins")).not.toContainText("asks which bird");
  await expect(record).toContainText("asks which bird");
  expect(watched.errors).toEqual([]);
});

test("a setting of the attribution says the limits that the trainer keeps", async ({ page, watched }) => {
  await form(page, "within-limits");
  const main = page.getByRole("main");
  await main.getByText("How answers are traced to records").click();
  const dimensions = main.getByRole("textbox", { name: "Projected dimensions" });
  await expect(dimensions).toHaveAccessibleDescription(/Limits: 8 to 256, a multiple of 8\.$/);
  await dimensions.fill("12");
  await expect(main.getByText("A whole number, 8 to 256, a multiple of 8")).toBeVisible();
  await dimensions.fill("16");
  await expect(dimensions).toHaveAccessibleDescription(/\.$/);
  await expect(dimensions).toHaveValue("16");
  await expect(main.getByText("1 to correct")).toHaveCount(0);
  expect(watched.errors).toEqual([]);
});

test("a parent is found by its name, chosen and removed by the keyboard, and sent with the job", async ({
  page,
  watched,
}) => {
  const { model } = await seed(setting());
  await form(page, "built-on");
  const main = page.getByRole("main");
  const search = main.getByRole("combobox", { name: "Models that it is built on" });
  const chosen = main.getByRole("grid", { name: "Models that it is built on: chosen" });
  const review = main.getByRole("region", { name: "Start", exact: true });
  const choose = async () => {
    await search.focus();
    await page.keyboard.type(model);
    await expect(page.getByRole("option")).toHaveText([new RegExp(`^${model}`)]);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await expect(search).toHaveValue("");
    await page.keyboard.press("Escape");
    await expect(page.getByRole("listbox")).toHaveCount(0);
    await expect(chosen.getByRole("row", { name: model })).toBeVisible();
  };
  await search.focus();
  await page.keyboard.type("nothing of that name");
  await expect(page.getByText("No model fits.")).toBeVisible();
  await search.fill("");
  await choose();
  await expect(review.getByText(`Built on ${model}`)).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(chosen.getByRole("row", { name: model })).toBeFocused();
  await page.keyboard.press("Delete");
  await expect(main.getByText("None chosen.")).toBeVisible();
  await expect(review.getByText(`Built on ${model}`)).toHaveCount(0);
  await choose();
  expect(await violations(page)).toEqual([]);
  const estimate = main.getByRole("region", { name: "What it would take" });
  await expect(estimate.getByText(/\d+ records train/)).toBeVisible();

  // The form names no model twice, so the request is changed on its way: the refusal is the node's own.
  const jobs = "**/v1/fine_tuning/jobs";
  await page.route(jobs, (route) => {
    const asked = route.request().postDataJSON() as { terms: { parents: string[] } };
    asked.terms.parents.push(...asked.terms.parents);
    return route.continue({ postData: asked });
  });
  await main.getByRole("button", { name: /^Start training/ }).click();
  await expect(search).toHaveAccessibleDescription(new RegExp(`Parent ${model} is named twice\\.$`));
  await page.unroute(jobs);
  await main.getByRole("button", { name: /^Start training/ }).click();
  await expect(page).toHaveURL(/\/factory\/jobs\/\d+$/);
  await expect(main.getByRole("button", { name: /^Copy model id of a parent 0x/ }).first()).toBeVisible();
  // The browser writes the refused request to the console, and nothing else stands there.
  expect(watched.errors.filter((error) => !error.includes("status of 422"))).toEqual([]);
});

test("a job goes on while its page is reloaded, pauses, and saves what it learnt", async ({
  page,
  watched,
}) => {
  test.setTimeout(3 * SLOW_MS);
  await form(page, "long-run");
  const main = page.getByRole("main");
  await main.getByText("How long and how fast it learns").click();
  await main.getByRole("textbox", { name: "Passes over the data" }).fill("1000");
  await expect(main.getByText("1,000 steps")).toBeVisible();
  await start(page);

  const steps = async () =>
    Number((await main.getByText(/^[\d,]+ of 1,000$/).textContent())?.replace(/,| of.*/g, ""));
  await expect.poll(steps, { timeout: SLOW_MS }).toBeGreaterThan(0);
  const before = await steps();
  await page.reload();
  await expect(heading(page)).toContainText("running");
  await expect.poll(steps, { timeout: SLOW_MS }).toBeGreaterThan(before);

  await main.getByRole("button", { name: "Pause" }).click();
  await expect(heading(page)).toContainText("paused", { timeout: SLOW_MS });
  await page.reload();
  await expect(heading(page)).toContainText("paused");
  await main.getByRole("button", { name: "Resume" }).click();
  await expect(heading(page)).toContainText("running", { timeout: SLOW_MS });
  await main.getByRole("button", { name: "Stop and save" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stop and save" }).click();
  await expect(heading(page)).toContainText("done", { timeout: SLOW_MS });
  await expect(main.getByRole("heading", { name: "Publish it" })).toBeVisible();
  expect(watched.errors).toEqual([]);
});

test("runs are compared by curve, measurement and setting", async ({ page, watched }) => {
  test.setTimeout(2 * SLOW_MS);
  await form(page, "two-passes");
  const main = page.getByRole("main");
  await main.getByText("How long and how fast it learns").click();
  await main.getByRole("textbox", { name: "Passes over the data" }).fill("2");
  await start(page);
  await expect(heading(page)).toContainText("done", { timeout: SLOW_MS });

  await page.goto("/factory");
  const jobs = page.getByRole("table", { name: "Jobs" });
  for (const name of ["seeded-guide", "two-passes"]) {
    await jobs.getByRole("row").filter({ hasText: name }).getByRole("checkbox").check({ force: true });
  }
  await main.getByRole("button", { name: "Compare (2)" }).click();
  const losses = main.getByRole("region", { name: "Losses", exact: true });
  await losses.getByText("Numbers", { exact: true }).click();
  await expect(losses.getByRole("table").getByRole("columnheader")).toHaveCount(3);
  const recipes = main.getByRole("region", { name: "Recipes", exact: true });
  const passes = recipes.getByRole("row").filter({ hasText: "Passes over the data" });
  await expect(passes.getByRole("cell")).toHaveText(["2", "1"]);
  await expect(main.getByRole("region", { name: "Measurements" }).getByRole("table")).toContainText(
    "two-passes",
  );
  expect(watched.errors).toEqual([]);
});

test("an adapter is downloaded for PEFT and as GGUF", async ({ page }) => {
  const { job } = await seed(setting());
  await page.goto(`/factory/jobs/${job}`);
  await settled(page);
  const download = async (name: string) => {
    const saving = page.waitForEvent("download");
    await page.getByRole("link", { name }).click();
    const saved = await saving;
    const parts: Buffer[] = [];
    for await (const part of await saved.createReadStream()) parts.push(part as Buffer);
    return { name: saved.suggestedFilename(), bytes: Buffer.concat(parts) };
  };
  const peft = await download("Download for PEFT (zip)");
  expect(peft.name).toMatch(/\.zip$/);
  expect(peft.bytes.subarray(0, 4)).toEqual(Buffer.from("PK\u0003\u0004"));
  for (const file of ["adapter_config.json", "adapter_model.safetensors"])
    expect(peft.bytes.includes(file)).toBe(true);
  const gguf = await download("Download as GGUF");
  expect(gguf.bytes.subarray(0, 4).toString()).toBe("GGUF");
});

test("a model that the command line published is offered for questions, not for publishing", async ({
  page,
}) => {
  const { job, model } = await seed(setting());
  await actAs(page, 3);
  await page.goto(`/factory/jobs/${job}`);
  await settled(page);
  const main = page.getByRole("main");
  await expect(main.getByText(`Published and served as ${model}`)).toBeVisible();
  await expect(main.getByRole("button", { name: /Publish/ })).toHaveCount(0);
  await expect(main.getByRole("link", { name: "Ask it something" })).toBeVisible();
});
