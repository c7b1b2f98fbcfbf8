/** The way from nothing to an answer without a mouse. */
import { fieldGuide } from "./records";
import { actAs, agree, expect, type Page, settled, test } from "./test";

/** A development account that no other test acts as. */
const ACCOUNT = 2;
const SLOW_MS = 60_000;
/** Presses of Tab after which something counts as out of reach. */
const TABS_MAX = 60;

type Target = ReturnType<Page["getByRole"]>;

/** Walks with Tab until the target has the focus, then presses a key on it. */
async function press(page: Page, target: Target, key = "Enter"): Promise<void> {
  await expect(target).toBeVisible();
  for (let tabs = 0; tabs <= TABS_MAX; tabs += 1) {
    if (await target.evaluate((element) => element === document.activeElement)) {
      await page.keyboard.press(key);
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`${target} cannot be reached with ${TABS_MAX} presses of Tab`);
}

test("create, contribute and ask with the keyboard alone", async ({ page, watched }) => {
  test.setTimeout(3 * SLOW_MS);
  await actAs(page, ACCOUNT);
  await page.goto("/");
  await settled(page);
  const main = page.getByRole("main");

  await test.step("the first press of Tab offers to skip the navigation", async () => {
    await page.keyboard.press("Tab");
    const skip = page.getByRole("link", { name: "Skip to the content" });
    await expect(skip).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(main).toBeFocused();
  });

  await test.step("create a Datanet", async () => {
    await page.goto("/datanets/new");
    await settled(page);
    await press(page, main.getByRole("textbox", { name: "Name" }), "Home");
    await page.keyboard.type("Birds by keyboard");
    await page.keyboard.press("Enter");
    await agree(page, "Create the Datanet");
    await expect(page).toHaveURL(/\/datanets\/\d+$/, { timeout: SLOW_MS });
    // A new page begins at its content, for the keyboard too.
    await expect(main).toBeFocused();
  });

  await test.step("contribute a file", async () => {
    await press(page, main.getByRole("link", { name: "Contribute", exact: true }));
    await settled(page);
    const chooser = page.waitForEvent("filechooser");
    await press(page, main.getByRole("button", { name: "Choose files" }));
    const buffer = Buffer.from(fieldGuide("Barbara"));
    await (await chooser).setFiles({ name: "keys.jsonl", mimeType: "application/jsonl", buffer });
    await press(page, main.getByRole("button", { name: "Use 8 records" }));
    await press(page, main.getByRole("button", { name: "Contribute", exact: true }));
    for (const title of ["Commit the batch", "Agree to the licence", "Reveal the batch"]) {
      await agree(page, title, SLOW_MS);
    }
    await expect(main.getByText("8 records accepted")).toBeVisible({ timeout: SLOW_MS });
  });

  await test.step("filter the records by a column", async () => {
    await press(page, main.getByRole("link", { name: "See your records" }));
    await settled(page);
    const bars = main
      .getByRole("group", { name: "Length of the prompt, in characters" })
      .or(main.getByRole("radiogroup", { name: "Length of the prompt, in characters" }));
    await expect(bars).toBeVisible();
  });

  await test.step("ask the base model", async () => {
    await page.goto("/chat");
    await settled(page);
    const model = main.getByRole("button", { name: /Model$/ });
    await press(page, model);
    await page.getByRole("option", { name: "tiny" }).waitFor();
    for (let moves = 0; moves < TABS_MAX; moves += 1) {
      const option = page.getByRole("option", { name: "tiny" });
      if (await option.evaluate((element) => element === document.activeElement)) break;
      await page.keyboard.press("ArrowUp");
    }
    await page.keyboard.press("Enter");
    await expect(model).toContainText("tiny");
    await press(page, main.getByRole("textbox", { name: "Your question" }), "Home");
    await page.keyboard.type("Which bird sings before sunrise?");
    await page.keyboard.press("Enter");
    await expect(main.getByRole("list", { name: "Messages" }).getByText("Free")).toBeVisible({
      timeout: SLOW_MS,
    });
  });

  await test.step("Escape closes what is open and gives the focus back", async () => {
    await press(page, page.getByRole("button", { name: /^Account 0x/ }));
    await expect(page.getByRole("menu", { name: "Account" })).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("menu", { name: "Account" })).toHaveCount(0);
    await expect(page.getByRole("button", { name: /^Account 0x/ })).toBeFocused();
  });
  expect(watched.errors).toEqual([]);
});
