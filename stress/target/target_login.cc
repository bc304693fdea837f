/// Login as the whole target sees it: sessions begin, are joined and are replaced. RFC 7143
/// sections 6.3.1, 6.3.4, 6.3.5 and 11.13.
#include <algorithm>

#include "stress/target/reset.h"
#include "stress/target/target.h"

namespace holdfast::target {

void Target::on_login(Link& link, const Pdu& pdu) {
    if (opcode_of(pdu.header) != static_cast<std::uint8_t>(Opcode::Login)) {
        services_.violation("6.3: a PDU that is no Login Request before the login is done");
        link.reset();
        return;
    }
    if (!link.login) {
        const bool once = !redirect_once_.address.empty();
        link.login = std::make_unique<Login>(
            config_, random_,
            once ? redirect_once_ : Redirect{config_.redirect, config_.redirect_permanent});
    }
    LoginAnswer answer = link.login->on_request(pdu.header, pdu.data);
    const bool moved = answer.status == LoginStatus::MovedTemporarily ||
                       answer.status == LoginStatus::MovedPermanently;
    if (moved) redirect_once_ = {};
    if (answer.complete) {
        answer.status = join_session(link, pdu.header);
        answer.complete = answer.status == LoginStatus::Success;
        if (!answer.complete) answer.text.clear();
    }
    send_login_answer(link, pdu, answer);
    if (answer.complete || answer.status != LoginStatus::Success) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        const auto status = static_cast<std::uint16_t>(answer.status);
        services_.note("connection " + std::to_string(link.id) + ": login of " +
                       link.login->identity().initiator_name + " to '" +
                       link.login->identity().target_name + "', status " +
                       kDigits[(status >> 8) & 0xfU] + kDigits[(status >> 4) & 0xfU] +
                       kDigits[status & 0xfU]);
    }
    if (!answer.complete) return;
    ++counters_.logins;
    link.params = link.login->link_params();
    link.full_feature = true;
    const Session* const joined = session_of(link);
    link.keeps_sent = joined != nullptr && joined->params().recovery_level > 0;
    link.login.reset();
}

void Target::send_login_answer(Link& link, const Pdu& pdu, const LoginAnswer& answer) {
    const std::uint32_t cmd_sn = be32_at<at::kCmdSn>(pdu.header);
    Header header = start_header(Opcode::LoginResponse);
    const std::span out{header};
    put_u8<at::kFlags>(out, answer.flags);
    std::ranges::copy(pdu.header.subspan<at::kIsid, 8>(), out.subspan<at::kIsid, 8>().begin());
    if (const Session* session = session_of(link); session != nullptr)
        put_be16<at::kTsih>(out, session->tsih());
    put_be32<at::kItt>(out, be32_at<at::kItt>(pdu.header));
    link.put_stat_sn(header, true);
    put_be32<at::kExpCmdSn>(out, cmd_sn);
    put_be32<at::kMaxCmdSn>(out, cmd_sn);
    // What the session expects, which may be less than what the initiator would send next.
    if (Session* session = session_of(link); answer.complete && session != nullptr)
        session->put_window(header);
    const auto status = static_cast<std::uint16_t>(answer.status);
    put_be16<at::kLoginStatusClass>(out, status);
    link.send(header, std::as_bytes(std::span{answer.text}));
    if (answer.status == LoginStatus::Success) return;
    ++counters_.logins_refused;
    link.close_after_flush();
}

LoginStatus Target::join_session(Link& link, HeaderView header) {
    const LoginIdentity& identity = link.login->identity();
    link.cid = identity.cid;
    if (identity.tsih == 0) return open_session(link, be32_at<at::kCmdSn>(header));
    const auto found = std::ranges::find_if(sessions_, [&](const auto& entry) {
        const LoginIdentity& other = entry.second->identity();
        return entry.second->tsih() == identity.tsih && other.isid == identity.isid &&
               other.initiator_name == identity.initiator_name;
    });
    if (found == sessions_.end()) return LoginStatus::SessionDoesNotExist;
    if (config_.reinstatement == Reinstatement::TgtLike)
        return open_session(link, be32_at<at::kCmdSn>(header));
    Session& session = *found->second;
    if (session.keeps_tasks()) {
        if (session.log_out_for_recovery(identity.cid, services_))
            ++counters_.connections_reinstated;
        if (session.links().size() >= session.params().max_connections)
            return LoginStatus::TooManyConnections;
        session.add_link(link.id);
        link.session = session.id();
        return LoginStatus::Success;
    }
    const auto same_cid = std::ranges::find_if(session.links(), [&](LinkId id) {
        const auto other = links_.find(id);
        return other != links_.end() && other->second->cid == identity.cid;
    });
    if (same_cid != session.links().end()) {
        const LinkId old = *same_cid;
        session.remove_link(*links_.at(old), services_);
        links_.at(old)->session = kNoSession;
        links_.at(old)->reset();
        touch(old);
    } else if (session.links().size() >= session.params().max_connections) {
        return LoginStatus::TooManyConnections;
    }
    session.add_link(link.id);
    link.session = session.id();
    return LoginStatus::Success;
}

LoginStatus Target::open_session(Link& link, std::uint32_t first_cmd_sn) {
    auto session = std::make_unique<Session>(next_session_++, next_tsih_++, *link.login,
                                             first_cmd_sn, config_);
    if (next_tsih_ == 0) next_tsih_ = 1;
    if (config_.reinstatement == Reinstatement::Proper) reinstate(*session);
    session->add_link(link.id);
    link.session = session->id();
    sessions_.emplace(session->id(), std::move(session));
    return LoginStatus::Success;
}

void Target::reinstate(const Session& fresh) {
    const std::string nexus = fresh.nexus();
    std::vector<SessionId> old;
    for (const auto& [id, session] : sessions_) {
        if (session->nexus() == nexus) old.push_back(id);
    }
    for (const SessionId id : old) {
        ++counters_.sessions_reinstated;
        services_.note("session reinstated");
        end_session(id);
    }
    cancel_held_writes(services_, [&](const HeldWrite& held) { return held.nexus == nexus; });
}

void Target::end_session(SessionId id) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    for (const LinkId link : found->second->links()) {
        const auto owner = links_.find(link);
        if (owner == links_.end()) continue;
        owner->second->session = kNoSession;
        owner->second->reset();
        touch(link);
    }
    sessions_.erase(found);
}

}  // namespace holdfast::target
