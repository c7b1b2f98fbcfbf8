/**
 * The API's types, as far as the pages use them, in the shape that openapi-typescript writes: `npm run gen` puts the
 * generated file in this one's place.
 */
import type { ClaimProofJson, HexString } from "./wire";

type Json<T> = { content: { "application/json": T } };
type Params<Path, Query> = { parameters: { path: Path; query?: Query } };
type Get<T, Path = undefined, Query = Record<string, never>> = {
  get: (Path extends undefined ? { parameters: { query?: Query } } : Params<Path, Query>) & {
    responses: { 200: Json<T> };
  };
};
type Post<T, Body = undefined, Path = undefined> = {
  post: (Path extends undefined ? { parameters: Record<string, never> } : { parameters: { path: Path } }) &
    (Body extends undefined ? { requestBody?: never } : { requestBody: Json<Body> }) & { responses: { 200: Json<T> } };
};

interface Cursor {
  after?: string | number;
  limit?: number;
}

export interface components {
  schemas: {
    Status: {
      operator: HexString;
      base_model: { name: string; hash: HexString };
      models: number;
      faucet_wei: string | null;
      settlement: { receipts_waiting: number; epochs_pending: number; last_final: number; error: string | null };
      chain: {
        id: number;
        name: string;
        rpc_url: string;
        currency: { name: string; symbol: string; decimals: number };
        block_time_s: number;
        challenge_window_s: number;
        development: boolean;
        contracts: {
          wrapped_open: HexString;
          datanet_registry: HexString;
          model_registry: HexString;
          inference_hub: HexString;
          staker_pool: HexString;
          receipt_judge: HexString;
        };
      };
    };
    Session: { address: HexString; csrf_token: string; expires_at: number };
    Model: {
      id: string;
      created: number;
      owned_by: string;
      parent: string | null;
      openledger: { model_id?: HexString; price: { input_wei: string; output_wei: string } | null };
    };
    LicenceTerms: {
      commercial_use: boolean;
      derivatives: boolean;
      attribution: boolean;
      revenue_floor_bps: number;
      expiry: number;
      uri: string;
    };
    Datanet: {
      id: number;
      owner: HexString;
      name: string;
      licence_hash: HexString;
      terms: components["schemas"]["LicenceTerms"];
      similarity_per_mille: number;
      records_offered: number;
      records_accepted: number;
      contributors: number;
      snapshots: number;
      models: number;
      income_wei: string;
    };
    Epoch: {
      number: number;
      state: string;
      opened_at: number;
      receipts: number;
      final_at: number | null;
      post_tx: HexString | null;
      final_tx: HexString | null;
    };
    Claim: { account: HexString; epoch: number; proof: ClaimProofJson | null };
  };
}

type Schemas = components["schemas"];
type List<T> = { data: T[]; next_after: string | number | null };

export interface paths {
  "/v1/status": Get<Schemas["Status"]>;
  "/v1/models": Get<{ data: Schemas["Model"][] }>;
  "/v1/faucet": Post<{ tx_hash: HexString; amount_wei: string }, { address: HexString }>;
  "/v1/sessions/nonce": Post<{ nonce: string; expires_at: number }>;
  "/v1/sessions": Post<Schemas["Session"], { message: string; signature: HexString }>;
  "/v1/sessions/current": Get<Schemas["Session"]> & {
    delete: { parameters: Record<string, never>; responses: { 204: { content?: never } } };
  };
  "/v1/datanets": Get<List<Schemas["Datanet"]>, undefined, Cursor & { search?: string; owner?: string }>;
  "/v1/datanets/{id}": Get<Schemas["Datanet"], { id: number }>;
  "/v1/epochs": Get<List<Schemas["Epoch"]>, undefined, Cursor>;
  "/v1/accounts/{address}/claim": Get<Schemas["Claim"], { address: string }>;
}
