/** Messages about transactions: they stay as long as they are read, and never lie over anything that can be pressed. */
import { actAs, agree, expect, type Page, settled, test } from "./test";

/** A development account whose transactions nothing else here waits for. */
const ACCOUNT = 7;
const WIDTHS = { narrow: { width: 360, height: 740 }, wide: { width: 1280, height: 900 } };
/** Longer than any message stays by itself. */
const LONG_MS = 20_000;

const message = (page: Page) => page.getByRole("region", { name: "Messages" }).getByRole("status");

/** Keeps the chain from telling that a transaction is in a block, so that its message stays; gives what lets it tell. */
async function holdBlocks(page: Page, rpc: string): Promise<() => void> {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(`${rpc}/**`, async (route) => {
    if (route.request().postData()?.includes("eth_getTransactionReceipt")) await released;
    await route.continue();
  });
  return release;
}

/** Remembers everything in sight that can be pressed. */
async function rememberPressable(page: Page): Promise<number> {
  return page.evaluate(() => {
    const controls = document.querySelectorAll("a[href], button, input, select, textarea, summary");
    const pressable = [...controls].filter((control) => {
      const { x, y, width, height } = control.getBoundingClientRect();
      const top = document.elementFromPoint(x + width / 2, y + height / 2);
      return top !== null && (control.contains(top) || control.closest("label")?.contains(top) === true);
    });
    Object.assign(window, { pressable });
    return pressable.length;
  });
}

/** What of it a message lies over now, in part or as a whole, by its text. */
async function covered(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const messages = document.querySelector("[data-messages]");
    if (messages === null) throw new Error("there are no messages");
    const over = messages.getBoundingClientRect();
    const { pressable } = window as unknown as { pressable: Element[] };
    const under = pressable.filter((control) => {
      const { left, right, top, bottom } = control.getBoundingClientRect();
      return left < over.right && right > over.left && top < over.bottom && bottom > over.top;
    });
    return under.map((control) => control.textContent?.trim() || control.outerHTML);
  });
}

for (const [name, viewport] of Object.entries(WIDTHS)) {
  test(`on a ${name} page a message lies over nothing, waits for its reader, and is closed by the keyboard`, async ({
    page,
    setting,
    watched,
  }) => {
    await page.clock.install();
    await page.setViewportSize(viewport);
    await actAs(page, ACCOUNT);
    const release = await holdBlocks(page, setting.rpc);
    await page.goto("/datanets/new");
    await settled(page);
    const main = page.getByRole("main");
    await main.getByRole("textbox", { name: "Name" }).fill(`Made on a ${name} page`);
    const create = main.getByRole("button", { name: "Create the Datanet" });
    await create.scrollIntoViewIfNeeded();
    expect(await rememberPressable(page)).toBeGreaterThan(5);
    await create.click();
    await agree(page, "Create the Datanet");
    await expect(message(page)).toContainText("waiting for a block");
    expect(await covered(page)).toEqual([]);
    // At the page's top too, where the header stands above the content.
    await page.evaluate(() => window.scrollTo(0, 0));
    expect(await covered(page)).toEqual([]);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);

    release();
    await expect(page).toHaveURL(/\/datanets\/\d+$/);
    await expect(message(page)).toContainText("done in block");
    // Under the pointer it stays, and so it does while it has the focus.
    await message(page).hover();
    await page.clock.fastForward(LONG_MS);
    await expect(message(page)).toContainText("done in block");
    const close = message(page).getByRole("button", { name: /^Close the message/ });
    await close.focus();
    await page.mouse.move(5, viewport.height - 5);
    await page.clock.fastForward(LONG_MS);
    await expect(close).toBeFocused();
    await page.keyboard.press("Escape");
    await expect(message(page)).toBeEmpty();
    await expect(main).toBeFocused();
    expect(watched.errors).toEqual([]);
  });
}

test("a message that nobody reads goes by itself", async ({ page, watched }) => {
  await page.clock.install();
  await actAs(page, ACCOUNT);
  await page.goto("/datanets/new");
  await settled(page);
  const main = page.getByRole("main");
  await main.getByRole("textbox", { name: "Name" }).fill("Made in passing");
  await main.getByRole("button", { name: "Create the Datanet" }).click();
  await agree(page, "Create the Datanet");
  await page.mouse.move(5, 800);
  await expect(message(page)).toContainText("done in block");
  await page.clock.fastForward(LONG_MS);
  await expect(message(page)).toBeEmpty();
  expect(watched.errors).toEqual([]);
});
