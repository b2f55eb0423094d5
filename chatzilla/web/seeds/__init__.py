"""The doors of other systems: their routes, as their own clients and SDKs call them. `docs/seeds.md` says how."""
