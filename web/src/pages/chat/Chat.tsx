import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";
import { type Model, modelsQuery } from "../../api/queries";
import { formatOpen } from "../../lib/format";
import { Button, LinkButton } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { Dialog, useConfirm } from "../../ui/Dialog";
import { Select } from "../../ui/fields";
import { Page } from "../../ui/Page";
import { Empty, Notice, QueryView } from "../../ui/states";
import { Time, Wei } from "../../ui/values";
import { Composer } from "./Composer";
import { conversationSpent, spent } from "./cost";
import { Answer, Question } from "./Message";
import { type Conversations as Store, useConversations } from "./store";
import {
  add,
  branch,
  type ChatMessage,
  type Conversation,
  dropFailed,
  emptyConversation,
  shownPath,
  switchBranch,
} from "./tree";
import { type Answers, type AskSettings, requestFor, useAnswers } from "./useAnswers";

const SETTINGS: AskSettings = { maxTokens: 256, temperature: 0, attribution: true };
/** Tokens that prices are given for. */
const PRICE_TOKENS = 1_000_000n;

export function Chat() {
  const models = useQuery(modelsQuery);
  return (
    <Page
      title="OpenChat"
      intro="Ask a published model. You see what an answer costs before you ask; afterwards, which records it came from and who was paid for them. Conversations are kept in this browser only."
    >
      <QueryView query={models} loading="Reading the models" what="Models">
        {(all) => <Conversations models={all} />}
      </QueryView>
    </Page>
  );
}

const isPaid = (model: Model | undefined) => Boolean(model?.openledger.price);

function Conversations({ models }: { models: readonly Model[] }) {
  const store = useConversations();
  const answers = useAnswers(store);
  const params = useParams();
  const [search] = useSearchParams();
  const navigate = useNavigate();
  const [listed, list] = useState(false);
  const [settings, setSettings] = useState(SETTINGS);
  const wanted = params.model ?? search.get("model");
  const id = search.get("c");
  const conversation = store.conversations.find((one) => one.id === id) ?? null;
  const open = (target: string | null) => {
    list(false);
    navigate(target === null ? "/chat" : `/chat?c=${encodeURIComponent(target)}`);
  };
  const others = <ConversationList store={store} selected={conversation?.id ?? null} onOpen={open} />;
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-5 lg:grid-cols-[15rem_minmax(0,1fr)]">
      <div className="max-lg:hidden">{others}</div>
      <div className="flex gap-2 lg:hidden">
        <Button size="sm" onPress={() => list(true)}>
          Conversations ({store.conversations.length})
        </Button>
        {conversation && (
          <Button size="sm" onPress={() => open(null)}>
            New conversation
          </Button>
        )}
        <Dialog kind="drawer" title="Conversations" isOpen={listed} onClose={() => list(false)}>
          {others}
        </Dialog>
      </div>
      <Thread
        key={conversation?.id ?? `new ${wanted ?? ""}`}
        models={models}
        wanted={wanted}
        missing={id !== null && conversation === null}
        conversation={conversation}
        store={store}
        answers={answers}
        settings={settings}
        onSettings={setSettings}
        onOpen={open}
      />
    </div>
  );
}

function ConversationList({
  store,
  selected,
  onOpen,
}: {
  store: Store;
  selected: string | null;
  onOpen: (id: string | null) => void;
}) {
  const confirm = useConfirm();
  const remove = async (conversation: Conversation) => {
    const yes = await confirm({
      title: "Delete this conversation?",
      children: `“${conversation.title}” with all its branches is deleted from this browser. It is kept nowhere else; the receipts stay.`,
      confirm: "Delete the conversation",
      danger: true,
    });
    if (!yes) return;
    store.remove(conversation.id);
    if (conversation.id === selected) onOpen(null);
  };
  return (
    <nav aria-label="Conversations" className="grid gap-2 text-sm">
      <Button size="sm" onPress={() => onOpen(null)}>
        New conversation
      </Button>
      {store.conversations.length === 0 && (
        <p className="px-2 text-muted">None yet. Ask something to begin one.</p>
      )}
      <ul className="grid grid-cols-[minmax(0,1fr)] gap-0.5 lg:max-h-[70dvh] lg:overflow-y-auto">
        {store.conversations.map((conversation) => (
          <li
            key={conversation.id}
            className={cx(
              "flex items-center rounded-md",
              conversation.id === selected ? "bg-accent-soft" : "hover:bg-sunken",
            )}
          >
            <button
              type="button"
              className="min-w-0 flex-1 px-2 py-1.5 text-left"
              aria-current={conversation.id === selected ? "page" : undefined}
              onClick={() => onOpen(conversation.id)}
            >
              <span className="block truncate">{conversation.title}</span>
              <span className="block truncate text-xs text-muted">
                {conversation.model} · <Time seconds={Math.floor(conversation.changedAtMs / 1000)} />
              </span>
            </button>
            <Button
              tone="ghost"
              size="sm"
              aria-label={`Delete the conversation ${conversation.title}`}
              onPress={() => remove(conversation)}
            >
              ✕
            </Button>
          </li>
        ))}
      </ul>
    </nav>
  );
}

interface ThreadProps {
  models: readonly Model[];
  wanted: string | null;
  missing: boolean;
  conversation: Conversation | null;
  store: Store;
  answers: Answers;
  settings: AskSettings;
  onSettings: (settings: AskSettings) => void;
  onOpen: (id: string | null) => void;
}

/** One conversation, or a new one. */
function Thread(props: ThreadProps) {
  const { models, wanted, missing, conversation, store, answers, settings, onSettings, onOpen } = props;
  const [chosen, choose] = useState<string | null>(null);
  const name = chosen ?? conversation?.model ?? wanted ?? (models.find(isPaid) ?? models[0])?.id ?? null;
  const model = models.find((one) => one.id === name);
  const id = model?.id;
  const paid = isPaid(model);
  const asked = useMemo(() => (id === undefined ? null : { id, paid }), [id, paid]);
  const path = useMemo(() => (conversation === null ? [] : shownPath(conversation)), [conversation]);
  const busy = path.some(({ answer }) => answer?.state === "writing");
  const last = path.at(-1);

  /** The conversation with a question at the place of `parent`. */
  const withQuestion = useCallback(
    (text: string, parent: string | null, questionId: string, model: string) => {
      const now = Date.now();
      const base = conversation ?? emptyConversation(crypto.randomUUID(), model, now);
      const question: ChatMessage = { id: questionId, parent, role: "user", text, atMs: now };
      return add({ ...base, model }, question);
    },
    [conversation],
  );
  /** False where the question was not asked. */
  const ask = (text: string, parent: string | null) => {
    if (asked === null) return false;
    const question = crypto.randomUUID();
    const next = store.put(withQuestion(text, parent, question, asked.id), true);
    if (next === null) return false;
    answers.ask(next, question, asked, settings);
    if (conversation === null) onOpen(next.id);
    return true;
  };
  const again = (question: string, attempt: string) => {
    if (asked !== null && conversation !== null) {
      answers.ask(dropFailed(conversation, attempt), question, asked, settings);
    }
  };
  const requestOf = useCallback(
    (text: string) => {
      const target = asked ?? { id: "", paid: false };
      return requestFor(withQuestion(text, last?.id ?? null, "draft", target.id), "draft", target, settings);
    },
    [asked, last?.id, settings, withQuestion],
  );

  return (
    <div className="grid min-w-0 grid-cols-[minmax(0,1fr)] content-start gap-5">
      <div className="flex flex-wrap items-end justify-between gap-3">
        <Select
          label="Model"
          className="w-full sm:w-80"
          value={model?.id ?? null}
          onChange={choose}
          choices={models.map((one) => ({ value: one.id, label: one.id, description: priceLine(one) }))}
        />
        {conversation && <Total conversation={conversation} path={path} />}
      </div>
      {missing && (
        <Notice tone="warn">
          That conversation is not kept in this browser. You can begin a new one here.
        </Notice>
      )}
      {name !== null && model === undefined && (
        <Notice tone="warn" title={`${name} is not served by this node`}>
          Choose another model to go on.
        </Notice>
      )}
      {store.unsaved && <Notice tone="warn">{store.unsaved}</Notice>}
      {path.length === 0 && <Begin models={models} model={model} />}
      <Messages
        path={path}
        conversation={conversation}
        answers={answers}
        canAsk={!busy && asked !== null}
        onSwitch={(message, by) => conversation && store.put(switchBranch(conversation, message, by), true)}
        onEdit={(message, text) => ask(text, message.parent)}
        onAgain={again}
      />
      <Composer
        model={asked}
        settings={settings}
        onSettings={onSettings}
        busy={busy}
        requestOf={requestOf}
        onAsk={(text) => ask(text, last?.id ?? null)}
      />
    </div>
  );
}

function priceLine(model: Model): string {
  const { price } = model.openledger;
  if (!price) return "base model, free";
  const per = (wei: string) => {
    const { amount, unit } = formatOpen(BigInt(wei) * PRICE_TOKENS);
    return `${amount} ${unit}`;
  };
  return `${per(price.input_wei)} in, ${per(price.output_wei)} out, each for a million tokens`;
}

function Begin({ models, model }: { models: readonly Model[]; model: Model | undefined }) {
  if (!models.some(isPaid)) {
    return (
      <Empty
        title="No model is published on this node yet"
        action={
          <LinkButton to="/factory/new" tone="primary">
            Train a model
          </LinkButton>
        }
      >
        You can talk to the base model below for free. An answer shows its sources only once a model was
        trained on a Datanet and published.
      </Empty>
    );
  }
  return (
    <Empty title={model ? `Ask ${model.id} something` : "Choose a model"}>
      {isPaid(model)
        ? "The answer is paid from your payment channel. Nothing is signed before you saw what it costs at most."
        : "The base model is free; published models show their sources and pay their contributors."}
    </Empty>
  );
}

function Messages({
  path,
  conversation,
  answers,
  canAsk,
  onSwitch,
  onEdit,
  onAgain,
}: {
  path: readonly ChatMessage[];
  conversation: Conversation | null;
  answers: Answers;
  canAsk: boolean;
  onSwitch: (message: ChatMessage, by: number) => void;
  onEdit: (message: ChatMessage, text: string) => void;
  onAgain: (question: string, attempt: string) => void;
}) {
  const last = path.at(-1)?.id;
  useEffect(() => {
    if (last !== undefined) document.getElementById(`message-${last}`)?.scrollIntoView({ block: "nearest" });
  }, [last]);
  if (conversation === null || path.length === 0) return null;
  return (
    <ol aria-label="Messages" className="grid gap-6">
      {path.map((message) => {
        const { all, at } = branch(conversation, message);
        const branches = { siblings: all.length, at, onSwitch: (by: number) => onSwitch(message, by) };
        const question = message.parent === null ? undefined : conversation.messages[message.parent];
        return (
          <li key={message.id} id={`message-${message.id}`} className="min-w-0">
            {message.answer === undefined ? (
              <Question
                {...branches}
                message={message}
                canEdit={canAsk}
                onEdit={(text) => onEdit(message, text)}
              />
            ) : (
              <Answer
                {...branches}
                message={message}
                facts={message.answer}
                question={question?.text ?? ""}
                step={answers.steps[message.id]}
                canAsk={canAsk}
                onAgain={() => question && onAgain(question.id, message.id)}
                onStop={() => answers.stop(message.id)}
              />
            )}
          </li>
        );
      })}
    </ol>
  );
}

/** What the conversation cost, and what of it stands on branches that are not shown. */
function Total({ conversation, path }: { conversation: Conversation; path: readonly ChatMessage[] }) {
  const [all, shown] = [conversationSpent(conversation), spent(path)];
  return (
    <p className="text-sm text-muted">
      This conversation cost <Wei value={all.charged} className="text-ink" />
      {all.charged > shown.charged && (
        <>
          , <Wei value={all.charged - shown.charged} /> of it on other branches
        </>
      )}
      {all.unknown > 0 && (
        <>
          , and up to <Wei value={all.unknownCeiling} /> more that is not known yet
        </>
      )}
      .
    </p>
  );
}
