"""The thread-centric event protocol of newer SDK clients, made from the event logs of a thread's runs. Pure."""
