/** Datanets that are on chain, but of which the node has not taken note yet. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { useNavigate } from "react-router";
import { api, body } from "../../api/client";
import { ApiError } from "../../api/error";
import { keys } from "../../api/keys";
import { Button } from "../../ui/Button";
import { ErrorState, Notice } from "../../ui/states";
import type { Datanet, LicenceTerms } from "./queries";

const STORED = "openledger.datanets.unregistered";
/** Kept at once; more would mean that something else writes here. */
const KEPT_MAX = 32;

/** What the node needs to take note of a Datanet. */
export interface Registration {
  id: number;
  name: string;
  terms: LicenceTerms;
}

let cached: { text: string | null; list: readonly Registration[] } = { text: null, list: [] };
const listeners = new Set<() => void>();

function isRegistration(value: unknown): value is Registration {
  const { id, name, terms } = (value ?? {}) as Partial<Registration>;
  return Number.isSafeInteger(id) && typeof name === "string" && typeof terms === "object" && terms !== null;
}

function pending(): readonly Registration[] {
  const text = localStorage.getItem(STORED);
  if (text !== cached.text) {
    let list: readonly Registration[] = [];
    try {
      const parsed: unknown = JSON.parse(text ?? "[]");
      if (Array.isArray(parsed)) list = parsed.filter(isRegistration).slice(0, KEPT_MAX);
    } catch {
      list = [];
    }
    cached = { text, list };
  }
  return cached.list;
}

function keep(list: readonly Registration[]) {
  localStorage.setItem(STORED, JSON.stringify(list.slice(-KEPT_MAX)));
  for (const listener of listeners) listener();
}

/** Remembers a Datanet until the node has taken note of it. */
export function rememberRegistration(registration: Registration) {
  keep([...pending().filter((one) => one.id !== registration.id), registration]);
}

function forgetRegistration(id: number) {
  keep(pending().filter((one) => one.id !== id));
}

/** Tells the node of a Datanet on chain. Telling it twice does no harm. */
export function useRegister() {
  const cache = useQueryClient();
  return async ({ id, terms }: Registration): Promise<Datanet | null> => {
    let registered: Datanet | null = null;
    try {
      registered = await body(api.POST("/v1/datanets", { body: { id, terms } }));
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "datanet_exists") throw error;
    }
    forgetRegistration(id);
    await cache.invalidateQueries({ queryKey: keys.datanets });
    return registered;
  };
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Offers to finish what was interrupted between chain and node. */
export function PendingRegistrations() {
  const list = useSyncExternalStore(subscribe, pending);
  const register = useRegister();
  const navigate = useNavigate();
  const finish = useMutation({
    mutationFn: async (one: Registration) => {
      await register(one);
      await navigate(`/datanets/${one.id}`);
    },
  });
  return (
    <>
      {list.map((one) => (
        <Notice
          key={one.id}
          tone="warn"
          title={`${one.name} is on chain, but this node has not taken note of it`}
          action={
            <Button
              tone="primary"
              isPending={finish.isPending}
              pendingLabel="Telling the node …"
              onPress={() => finish.mutate(one)}
            >
              Finish
            </Button>
          }
        >
          It has number {one.id}. Until the node knows its terms, nobody can contribute to it here. This costs
          nothing.
        </Notice>
      ))}
      {finish.error && <ErrorState error={finish.error} what="The node did not take note" />}
    </>
  );
}
