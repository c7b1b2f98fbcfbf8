/** Conversations, kept in this browser and nowhere else. */
import { useSyncExternalStore } from "react";
import { type ConversationStore, conversationStore, type State } from "./conversations";

const store = conversationStore(() => localStorage);
// Other tabs' changes arrive here whether a page of conversations is shown or not: an answer may still be on its way.
if (typeof window !== "undefined") window.addEventListener("storage", ({ key }) => store.receive(key));

/** The conversations, and what can be done with them. */
export type Conversations = State & Pick<ConversationStore, "put" | "update" | "remove">;

export function useConversations(): Conversations {
  const { put, update, remove } = store;
  return { ...useSyncExternalStore(store.subscribe, store.snapshot), put, update, remove };
}
