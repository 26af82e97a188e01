// Round trips of the sample databases on PostgreSQL 13 to 15.

import { testRoundTrips } from "./round-trips.ts";

testRoundTrips([13, 14, 15]);
