// Which storages cost money to read from: the domains of providers whose price lists have a price for each byte that leaves
// them over the internet, seen in 2026. From a machine of the same provider and region it mostly costs nothing, which cannot
// be told from here. Who is not on the list is taken to charge nothing, or to include far more than is read.

const CHARGING_DOMAINS = [
  "amazonaws.com",
  "amazonaws.com.cn",
  "googleapis.com",
  "core.windows.net",
  "core.chinacloudapi.cn",
  "core.usgovcloudapi.net",
  "aliyuncs.com",
  "myqcloud.com",
  "cloud-object-storage.appdomain.cloud",
];

/** Whether the provider at an http: or https: address is known to charge for what is read. */
export function isReadingCharged(endpoint: string): boolean {
  const { hostname } = new URL(endpoint);
  return CHARGING_DOMAINS.some((domain) => hostname === domain || hostname.endsWith(`.${domain}`));
}
