/** Addresses of the explorer's pages and of those that they lead to. */
export const links = {
  explorer: "/explorer",
  search: (query: string) => `/explorer?q=${encodeURIComponent(query)}`,
  block: (number: bigint | number) => `/explorer/block/${number}`,
  transaction: (hash: string) => `/explorer/tx/${hash}`,
  address: (address: string) => `/explorer/address/${address}`,
  epoch: (number: bigint | number) => `/explorer/epoch/${number}`,
  receipt: (hash: string) => `/explorer/receipt/${hash}`,
  model: (name: string) => `/models/${encodeURIComponent(name)}`,
  datanet: (id: bigint | number) => `/datanets/${id}`,
  earnings: (address: string) => `/earnings/${address}`,
};
