/** Conversations: stopped, edited, branched, and what each of that costs. */
import { type Seeded, seed } from "./seed";
import { setting } from "./setup";
import { actAs, agree, expect, type Page, settled, test } from "./test";

/** A development account that nothing else here uses. */
const PAYER = 9;

let seeded: Seeded;

test.beforeAll(async () => {
  test.setTimeout(300_000);
  seeded = await seed(setting());
});

const messages = (page: Page) => page.getByRole("main").getByRole("list", { name: "Messages" });

async function ask(page: Page, text: string): Promise<void> {
  await page.getByRole("main").getByRole("textbox", { name: "Your question" }).fill(text);
  await page.getByRole("main").getByRole("button", { name: "Ask", exact: true }).click();
}

async function limit(page: Page, tokens: number): Promise<void> {
  await page.getByText("Settings of the answer").click();
  await page.getByRole("textbox", { name: "Longest answer" }).fill(String(tokens));
}

/**
 * Holds each streamed answer back behind its first words until `release()` is called in the page, so that a test can act
 * while an answer is being written, whatever the machine's speed.
 */
async function holdAnswers(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const real = window.fetch;
    let open: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      open = resolve;
    });
    Object.assign(window, { release: () => open() });
    /** Lets bytes through up to the end of the first line with words, and the others once `released` is. */
    const holding = (until: Promise<void>) => {
      let spoken = false;
      let text = "";
      return new TransformStream<Uint8Array, Uint8Array>({
        transform: async (bytes, controller) => {
          if (spoken) return controller.enqueue(bytes);
          // In this encoding a character is a byte, so that places in the text are places in the bytes.
          const before = text.length;
          text += new TextDecoder("latin1").decode(bytes);
          const words = /"content":"[^"][^\n]*\n/.exec(text);
          if (words === null) return controller.enqueue(bytes);
          spoken = true;
          const cut = words.index + words[0].length - before;
          controller.enqueue(bytes.slice(0, cut));
          await until;
          controller.enqueue(bytes.slice(cut));
        },
      });
    };
    window.fetch = async (...asked) => {
      const response = await real(...asked);
      const streams = response.headers.get("content-type")?.includes("event-stream");
      if (!streams || response.body === null || !response.url.endsWith("/chat/completions")) return response;
      const body = response.body.pipeThrough(holding(released));
      return new Response(body, { status: response.status, headers: response.headers });
    };
  });
}
const release = (page: Page) => page.evaluate(() => (window as unknown as { release: () => void }).release());

test("an answer of the base model is stopped before it began, and nothing is charged", async ({
  page,
  watched,
}) => {
  await page.route("**/v1/chat/completions", () => undefined);
  await page.goto("/chat");
  await settled(page);
  await page.getByRole("button", { name: /Model$/ }).click();
  await page.getByRole("option", { name: "tiny" }).click();
  await ask(page, "Will you answer?");
  await messages(page).getByRole("button", { name: "Stop" }).click();
  await expect(messages(page).getByText("Stopped.")).toBeVisible();
  await expect(messages(page).getByText("Nothing was charged")).toBeVisible();
  expect(watched.errors).toEqual([]);
});

test("a paid conversation is stopped, edited and branched, and says what all of it cost", async ({
  page,
  watched,
}) => {
  await actAs(page, PAYER);
  await holdAnswers(page);
  await page.goto(`/chat/${seeded.model}`);
  await settled(page);
  await limit(page, 24);
  await ask(page, "Which bird lives in the meadow?");
  await messages(page).getByRole("button", { name: "Open and ask again" }).click();
  await agree(page, "Open the channel");
  const pay = page.getByRole("dialog", { name: "Pay for the answer" });
  await pay.getByText(/^Pay for further answers/).click();
  await pay.getByRole("button", { name: "Pay", exact: true }).click();

  // Stopped while it is written: what the node had made by then is shown and charged, be it a part or, with so quick a
  // model, all of it. (`stopped` has a slower one.)
  await expect(messages(page).getByText("Writing …")).toBeVisible();
  await messages(page).getByRole("button", { name: "Stop" }).click();
  await release(page);
  await expect(messages(page).getByRole("button", { name: "Stop" })).toBeHidden();
  await expect(messages(page).getByText(/^Cost /)).toBeVisible();

  // Edited: a second version of the question, with its own answer.
  await messages(page).getByRole("button", { name: "Edit" }).click();
  await messages(page)
    .getByRole("textbox", { name: "Your question, edited" })
    .fill("Which bird lives by the river?");
  await messages(page).getByRole("button", { name: "Ask this instead" }).click();
  await expect(messages(page).getByText("version 2 of 2")).toBeVisible();
  await expect(messages(page).getByText(/^Cost /)).toBeVisible();
  await expect(messages(page).getByText("Which bird lives by the river?")).toBeVisible();
  await messages(page).getByRole("button", { name: "Earlier version" }).click();
  await expect(messages(page).getByText("Which bird lives in the meadow?")).toBeVisible();
  await messages(page).getByRole("button", { name: "Later version" }).click();

  // Answered again: another answer to the same question.
  await messages(page).getByRole("button", { name: "Answer again" }).click();
  await expect(messages(page).getByText("answer 2 of 2")).toBeVisible();
  await expect(messages(page).getByText(/^Cost /)).toBeVisible();
  await expect(
    page.getByRole("main").getByText(/^This conversation cost .* on other branches\.$/),
  ).toBeVisible();

  // All of it is there after a reload.
  await page.reload();
  await expect(messages(page).getByText("answer 2 of 2")).toBeVisible();
  await messages(page).getByRole("button", { name: "Earlier answer" }).click();
  await expect(messages(page).getByText("answer 1 of 2")).toBeVisible();
  expect(watched.errors).toEqual([]);
});

test("with as many conversations as are kept, a question is not asked and its text stays", async ({
  page,
  watched,
}) => {
  await page.addInitScript(() => {
    for (let at = 0; at < 200; at += 1) {
      const id = `old-${at}`;
      const kept = { id, title: id, model: "tiny", changedAtMs: at, messages: {}, shown: {} };
      localStorage.setItem(`openledger.chat.${id}`, JSON.stringify(kept));
    }
  });
  let asked = 0;
  await page.route("**/v1/chat/completions", (route) => {
    asked += 1;
    return route.continue();
  });
  await page.goto("/chat");
  await settled(page);
  await ask(page, "Is there room for me?");
  await expect(page.getByText(/keeps 200 conversations/)).toBeVisible();
  await expect(page.getByRole("main").getByRole("textbox", { name: "Your question" })).toHaveValue(
    "Is there room for me?",
  );
  expect(asked).toBe(0);
  expect(watched.errors).toEqual([]);
});

test("two tabs see each other's conversations, and what one deleted is gone from the other", async ({
  page,
  context,
  watched,
}) => {
  await page.goto("/chat");
  await settled(page);
  const other = await context.newPage();
  await other.goto("/chat");
  await settled(other);
  await page.getByRole("button", { name: /Model$/ }).click();
  await page.getByRole("option", { name: "tiny" }).click();
  await ask(page, "Who else is reading this?");
  const kept = (tab: Page) =>
    tab.getByRole("navigation", { name: "Conversations" }).getByText("Who else is reading this?");
  await expect(kept(page)).toBeVisible();
  await expect(kept(other)).toBeVisible();
  await expect(messages(page).getByRole("button", { name: "Stop" })).toBeHidden();
  await other.getByRole("button", { name: /^Delete the conversation Who else/ }).click();
  await other.getByRole("button", { name: "Delete the conversation", exact: true }).click();
  await expect(kept(other)).toBeHidden();
  await expect(kept(page)).toBeHidden();
  await expect(page.getByText("That conversation is not kept in this browser.")).toBeVisible();
  expect(watched.errors).toEqual([]);
});
