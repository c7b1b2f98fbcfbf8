/** The way of somebody new, from an account without anything to the first OPEN earned and claimed. */

/** What is known of an account. */
export interface Standing {
  balance: bigint;
  /** Whether the chain gives coins to whoever asks. */
  faucet: boolean;
  signedIn: boolean;
  /** Its Datanet that is furthest. */
  datanet: { id: number; records: number; snapshots: number } | null;
  /** A model that it published. */
  model: string | null;
  earned: bigint;
  claimed: bigint;
}

export interface FirstStep {
  name: string;
  /** What is done, and why. */
  what: string;
  to: string;
  action: string;
  done: boolean;
  /** Needs none of the steps before it. */
  aside?: boolean;
}

/** The steps in order. Each leads to the page where it is done. */
export function firstSteps(standing: Standing): FirstStep[] {
  const { balance, faucet, signedIn, datanet, model, earned, claimed } = standing;
  const own = datanet === null ? "/datanets/new" : `/datanets/${datanet.id}`;
  const trained = model !== null;
  const recorded = (datanet?.records ?? 0) > 0;
  const frozen = (datanet?.snapshots ?? 0) > 0;
  return [
    {
      name: "Get coins",
      what: faucet
        ? "Transactions cost a little. This chain gives coins away for trying things."
        : "Transactions cost a little; your account needs some OPEN.",
      to: "/account",
      action: "To your account",
      done: balance > 0n || datanet !== null,
    },
    {
      name: "Create a Datanet",
      what: "A place for records on one subject, with the licence under which people add them.",
      to: "/datanets/new",
      action: "Create a Datanet",
      done: datanet !== null,
    },
    {
      name: "Add a file",
      what: "Questions with answers, or plain texts. You see what becomes of each row before you sign.",
      to: `${own}/contribute`,
      action: "Add a file",
      done: recorded,
    },
    {
      name: "Take a snapshot",
      what: "It freezes the records, so that everyone can tell what a model was trained on.",
      to: `${own}/snapshots`,
      action: "Take a snapshot",
      done: frozen,
    },
    {
      name: "Sign in",
      what: "Shows this node that the account is yours, so that the training is yours alone. It costs nothing.",
      to: "/account",
      action: "To your account",
      done: signedIn || trained,
      aside: true,
    },
    {
      name: "Train and publish a model",
      what: "Seconds to minutes, depending on model and data. Then it goes on chain with your price.",
      to: `/factory/new${datanet === null ? "" : `?datanet=${datanet.id}`}`,
      action: "Train a model",
      done: trained,
    },
    {
      name: "Ask it something",
      what: "You pay from a channel, see which records shaped the answer, and check its receipt.",
      to: model === null ? "/chat" : `/chat/${encodeURIComponent(model)}`,
      action: "Ask it",
      done: earned > 0n,
    },
    {
      name: "Claim what you earned",
      what: "Answers are settled on chain every so often; once that is final, your share is one click away.",
      to: "/earnings",
      action: "To your earnings",
      done: claimed > 0n,
    },
  ];
}

/** The step to take now; null when all are done. A step behind one that is done was not needed. */
export function nextStep(steps: readonly FirstStep[]): FirstStep | null {
  const last = steps.findLastIndex(({ done, aside }) => done && !aside);
  return steps.find(({ done }, index) => index > last && !done) ?? null;
}
