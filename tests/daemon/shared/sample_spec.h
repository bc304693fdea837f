/// A spec that is right in every field, for tests to break.
#pragma once

#include "daemon/shared/attach_spec.h"

namespace holdfast::daemon {

inline AttachSpec sample_spec() {
    AttachSpec spec;
    spec.profile = ProfileId::Swap;
    spec.name.assign_cut("swap0");
    spec.session.initiator_name.assign_cut("iqn.2026-11.org.holdfast:test");
    spec.session.target_name.assign_cut("iqn.2026-11.org.example:disk");
    initiator::Portal portal;
    portal.host.assign_cut("127.0.0.1");
    spec.session.portals.push(portal);
    spec.session.isid = initiator::Isid{0x8000'0000'0001ULL};
    return spec;
}

}  // namespace holdfast::daemon
