"""Networks and what starts machines in them."""

import base64
import ipaddress
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import uuid4

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.gaps import endpoint_is_gone, forgotten_get, forgotten_put, forgotten_remove
from tests.support.providers.aws.handler import (
    Handler,
    StoredHandler,
    arguments,
    camel,
    found,
    pairs,
    pascal,
    shown,
    truth,
    unpaired,
)
from tests.support.providers.serving import Refused


class Ec2Handler(Handler):
    TAGGED = True
    KIND: ClassVar[str]
    """EC2's word for it in tag specifications."""

    def specification(self, inputs: Values) -> list[Values]:
        return [{"ResourceType": self.KIND, "Tags": pairs(inputs["tagsAll"])}] if inputs["tagsAll"] else []

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        ec2 = aws.client("ec2")
        if gone:
            ec2.delete_tags(Resources=[identifier], Tags=[{"Key": key} for key in gone])
        if put:
            ec2.create_tags(Resources=[identifier], Tags=pairs(put))


class Vpc(Ec2Handler):
    TYPE = "aws:ec2/vpc:Vpc"
    KIND = "vpc"
    OPTIONAL = frozenset({"cidrBlock", "enableDnsHostnames", "enableDnsSupport", "instanceTenancy"})
    REPLACES = frozenset({"cidrBlock", "instanceTenancy"})
    COMPUTED = frozenset(
        {"arn", "defaultSecurityGroupId", "defaultRouteTableId", "mainRouteTableId", "ownerId"}
        | {"defaultNetworkAclId"}
    )

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        yield from _network_invalid("cidrBlock", inputs)

    def create(self, aws: Account, inputs: Values) -> str:
        given = arguments(inputs, {"cidrBlock": "CidrBlock", "instanceTenancy": "InstanceTenancy"})
        ec2 = aws.client("ec2")
        vpc_id: str = ec2.create_vpc(**given, TagSpecifications=self.specification(inputs))["Vpc"]["VpcId"]
        self._attributes(aws, vpc_id, inputs)
        return vpc_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        ec2 = aws.client("ec2")
        answer = found(lambda: ec2.describe_vpcs(VpcIds=[identifier]))
        if answer is None:
            return None
        vpc = answer["Vpcs"][0]
        inside = [{"Name": "vpc-id", "Values": [identifier]}]
        group = ec2.describe_security_groups(Filters=[*inside, {"Name": "group-name", "Values": ["default"]}])
        table = ec2.describe_route_tables(Filters=[*inside, {"Name": "association.main", "Values": ["true"]}])
        lists = ec2.describe_network_acls(Filters=[*inside, {"Name": "default", "Values": ["true"]}])
        main = table["RouteTables"][0]["RouteTableId"]
        return {
            **shown(vpc, {"cidrBlock": "CidrBlock", "instanceTenancy": "InstanceTenancy"}),
            "enableDnsSupport": _vpc_attribute(ec2, identifier, "enableDnsSupport"),
            "enableDnsHostnames": _vpc_attribute(ec2, identifier, "enableDnsHostnames"),
            "arn": aws.arn("ec2", f"vpc/{identifier}"),
            "ownerId": aws.account_id,
            "defaultSecurityGroupId": group["SecurityGroups"][0]["GroupId"],
            "defaultNetworkAclId": lists["NetworkAcls"][0]["NetworkAclId"],
            "defaultRouteTableId": main,
            "mainRouteTableId": main,
            "tagsAll": unpaired(vpc.get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        self._attributes(aws, identifier, inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.vpc_unused(aws, identifier)
        found(lambda: aws.client("ec2").delete_vpc(VpcId=identifier))

    def _attributes(self, aws: Account, vpc_id: str, inputs: Values) -> None:
        # One attribute a call is what the API takes.
        for name, api, usual in (
            ("enableDnsSupport", "EnableDnsSupport", True),
            ("enableDnsHostnames", "EnableDnsHostnames", False),
        ):
            wanted = {"Value": inputs.get(name, usual)}
            aws.client("ec2").modify_vpc_attribute(VpcId=vpc_id, **{api: wanted})


class Subnet(Ec2Handler):
    TYPE = "aws:ec2/subnet:Subnet"
    KIND = "subnet"
    REQUIRED = frozenset({"vpcId"})
    OPTIONAL = frozenset({"cidrBlock", "availabilityZone", "mapPublicIpOnLaunch"})
    REPLACES = frozenset({"vpcId", "cidrBlock", "availabilityZone"})
    COMPUTED = frozenset({"arn", "ownerId", "availabilityZoneId"})
    # Not a name, but two subnets of one VPC cannot have the same network.
    NAME = "cidrBlock"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        yield from _network_invalid("cidrBlock", inputs)

    def create(self, aws: Account, inputs: Values) -> str:
        given = arguments(
            inputs, {"vpcId": "VpcId", "cidrBlock": "CidrBlock", "availabilityZone": "AvailabilityZone"}
        )
        answer = aws.client("ec2").create_subnet(**given, TagSpecifications=self.specification(inputs))
        subnet_id: str = answer["Subnet"]["SubnetId"]
        if "mapPublicIpOnLaunch" in inputs:
            self.update(aws, subnet_id, {}, inputs, {"mapPublicIpOnLaunch"})
        return subnet_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("ec2").describe_subnets(SubnetIds=[identifier]))
        if answer is None:
            return None
        subnet = answer["Subnets"][0]
        names = {
            "vpcId": "VpcId",
            "cidrBlock": "CidrBlock",
            "availabilityZone": "AvailabilityZone",
            "availabilityZoneId": "AvailabilityZoneId",
            "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
            "arn": "SubnetArn",
            "ownerId": "OwnerId",
        }
        return {**shown(subnet, names), "tagsAll": unpaired(subnet.get("Tags"))}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        wanted = {"Value": bool(inputs.get("mapPublicIpOnLaunch"))}
        aws.client("ec2").modify_subnet_attribute(SubnetId=identifier, MapPublicIpOnLaunch=wanted)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.subnet_unused(aws, identifier)
        found(lambda: aws.client("ec2").delete_subnet(SubnetId=identifier))


class RouteTable(Ec2Handler):
    """Without routes of its own: the local one, and those that gateway endpoints add, are AWS's."""

    TYPE = "aws:ec2/routeTable:RouteTable"
    KIND = "route-table"
    REQUIRED = frozenset({"vpcId"})
    REPLACES = frozenset({"vpcId"})
    COMPUTED = frozenset({"arn", "ownerId"})

    def create(self, aws: Account, inputs: Values) -> str:
        answer = aws.client("ec2").create_route_table(
            VpcId=inputs["vpcId"], TagSpecifications=self.specification(inputs)
        )
        return str(answer["RouteTable"]["RouteTableId"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("ec2").describe_route_tables(RouteTableIds=[identifier]))
        if answer is None:
            return None
        table = answer["RouteTables"][0]
        return {
            "vpcId": table["VpcId"],
            "ownerId": aws.account_id,
            "arn": aws.arn("ec2", f"route-table/{identifier}"),
            "tagsAll": unpaired(table.get("Tags")),
        }

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        found(lambda: aws.client("ec2").delete_route_table(RouteTableId=identifier))


class RouteTableAssociation(Handler):
    TYPE = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    REQUIRED = frozenset({"routeTableId", "subnetId"})
    REPLACES = frozenset({"subnetId"})
    # A subnet has one association.
    NAME = "subnetId"

    def create(self, aws: Account, inputs: Values) -> str:
        answer = aws.client("ec2").associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )
        return str(answer["AssociationId"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        tables = aws.client("ec2").describe_route_tables()["RouteTables"]
        for table in tables:
            for association in table["Associations"]:
                if association["RouteTableAssociationId"] == identifier:
                    return {"routeTableId": table["RouteTableId"], "subnetId": association.get("SubnetId")}
        # Replacing the table of an association gives it a new id.
        for table in tables:
            for association in table["Associations"]:
                if association.get("SubnetId") == state.get("subnetId"):
                    return {"routeTableId": table["RouteTableId"], "subnetId": state["subnetId"]}
        return None

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        aws.client("ec2").replace_route_table_association(
            AssociationId=self._current(aws, identifier, state), RouteTableId=inputs["routeTableId"]
        )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        current = self._current(aws, identifier, state)
        found(lambda: aws.client("ec2").disassociate_route_table(AssociationId=current))

    def _current(self, aws: Account, identifier: str, state: Values) -> str:
        for table in aws.client("ec2").describe_route_tables()["RouteTables"]:
            for association in table["Associations"]:
                if association.get("SubnetId") == state["subnetId"]:
                    return str(association["RouteTableAssociationId"])
        return identifier


class SecurityGroup(Ec2Handler):
    """Without inline rules: the program makes each rule a resource of its own."""

    TYPE = "aws:ec2/securityGroup:SecurityGroup"
    KIND = "security-group"
    REQUIRED = frozenset({"vpcId"})
    OPTIONAL = frozenset({"name", "description", "revokeRulesOnDelete"})
    REPLACES = frozenset({"name", "description", "vpcId"})
    COMPUTED = frozenset({"arn", "ownerId", "egress", "ingress"})
    NAME = "name"

    def create(self, aws: Account, inputs: Values) -> str:
        ec2 = aws.client("ec2")
        # moto makes a group in a VPC that is not there.
        ec2.describe_vpcs(VpcIds=[inputs["vpcId"]])
        group_id: str = ec2.create_security_group(
            GroupName=inputs["name"],
            Description=inputs.get("description", "Managed by Pulumi"),
            VpcId=inputs["vpcId"],
            TagSpecifications=self.specification(inputs),
        )["GroupId"]
        # The official provider takes away the rule that lets everything out.
        rules = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]["IpPermissionsEgress"]
        if rules:
            ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=rules)
        return group_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("ec2").describe_security_groups(GroupIds=[identifier]))
        if answer is None:
            return None
        group = answer["SecurityGroups"][0]
        return {
            **shown(group, {"name": "GroupName", "description": "Description", "vpcId": "VpcId"}),
            "ownerId": aws.account_id,
            "arn": aws.arn("ec2", f"security-group/{identifier}"),
            "ingress": [],
            "egress": [],
            "tagsAll": unpaired(group.get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        """Only `revokeRulesOnDelete`, which AWS does not know."""

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.security_group_unused(aws, identifier)
        found(lambda: aws.client("ec2").delete_security_group(GroupId=identifier))


class SecurityGroupRule(Ec2Handler):
    KIND = "security-group-rule"
    EGRESS: ClassVar[bool]
    REQUIRED = frozenset({"securityGroupId", "ipProtocol"})
    OPTIONAL = frozenset(
        {"cidrIpv4", "cidrIpv6", "description", "fromPort", "toPort", "referencedSecurityGroupId"}
        | {"prefixListId"}
    )
    REPLACES = frozenset({"securityGroupId"})
    COMPUTED = frozenset({"arn", "securityGroupRuleId"})
    _SOURCES = ("cidrIpv4", "cidrIpv6", "referencedSecurityGroupId", "prefixListId")

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        protocol = str(inputs.get("ipProtocol", "tcp"))
        if protocol not in ("tcp", "udp", "icmp", "icmpv6", "-1"):
            yield "ipProtocol", f"{protocol} is no protocol: tcp, udp, icmp, icmpv6 or -1"
        for name in ("fromPort", "toPort"):
            port = inputs.get(name)
            if port is not None and not -1 <= port <= 65535:
                yield name, f"{port} is no port"
        if protocol in ("tcp", "udp") and not {"fromPort", "toPort"} <= inputs.keys():
            yield "fromPort", f"a rule for {protocol} needs fromPort and toPort"
        if sum(name in inputs for name in self._SOURCES) > 1:
            yield "cidrIpv4", f"a rule has one of {', '.join(self._SOURCES)}"

    def create(self, aws: Account, inputs: Values) -> str:
        ec2 = aws.client("ec2")
        call = ec2.authorize_security_group_egress if self.EGRESS else ec2.authorize_security_group_ingress
        answer = call(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[self._permission(inputs)],
            TagSpecifications=self.specification(inputs),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        asked = [{"Name": "group-id", "Values": [state["securityGroupId"]]}] if state else []
        answer = found(lambda: aws.client("ec2").describe_security_group_rules(Filters=asked))
        rules = [
            each
            for each in (answer or {}).get("SecurityGroupRules", [])
            if each["SecurityGroupRuleId"] == identifier
        ]
        if not rules:
            return None
        names = {
            "securityGroupId": "GroupId",
            "ipProtocol": "IpProtocol",
            "fromPort": "FromPort",
            "toPort": "ToPort",
            "cidrIpv4": "CidrIpv4",
            "cidrIpv6": "CidrIpv6",
            "prefixListId": "PrefixListId",
            "description": "Description",
        }
        rule = shown(rules[0], names)
        referenced = rules[0].get("ReferencedGroupInfo", {}).get("GroupId")
        if referenced:
            rule["referencedSecurityGroupId"] = referenced
        return {
            **rule,
            "securityGroupRuleId": identifier,
            "arn": aws.arn("ec2", f"security-group-rule/{identifier}"),
            "tagsAll": unpaired(rules[0].get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        names = {
            "ipProtocol": "IpProtocol",
            "fromPort": "FromPort",
            "toPort": "ToPort",
            "cidrIpv4": "CidrIpv4",
            "cidrIpv6": "CidrIpv6",
            "prefixListId": "PrefixListId",
            "referencedSecurityGroupId": "ReferencedGroupId",
            "description": "Description",
        }
        rule = {"SecurityGroupRuleId": identifier, "SecurityGroupRule": arguments(inputs, names)}
        aws.client("ec2").modify_security_group_rules(
            GroupId=inputs["securityGroupId"], SecurityGroupRules=[rule]
        )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        if self.read(aws, identifier, state) is None:
            return
        ec2 = aws.client("ec2")
        call = ec2.revoke_security_group_egress if self.EGRESS else ec2.revoke_security_group_ingress
        call(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identifier])

    def _permission(self, inputs: Values) -> Values:
        about = {"Description": inputs["description"]} if inputs.get("description") else {}
        permission: Values = {"IpProtocol": str(inputs["ipProtocol"])}
        if "fromPort" in inputs:
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **about}]
        if "cidrIpv6" in inputs:
            permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **about}]
        if "prefixListId" in inputs:
            permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **about}]
        if "referencedSecurityGroupId" in inputs:
            permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **about}]
        return permission


class SecurityGroupIngressRule(SecurityGroupRule):
    TYPE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    EGRESS = False


class SecurityGroupEgressRule(SecurityGroupRule):
    TYPE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
    EGRESS = True


class VpcEndpoint(Ec2Handler):
    TYPE = "aws:ec2/vpcEndpoint:VpcEndpoint"
    KIND = "vpc-endpoint"
    REQUIRED = frozenset({"vpcId", "serviceName"})
    OPTIONAL = frozenset(
        {"vpcEndpointType", "subnetIds", "securityGroupIds", "routeTableIds", "privateDnsEnabled", "policy"}
    )
    REPLACES = frozenset({"vpcId", "serviceName", "vpcEndpointType"})
    COMPUTED = frozenset(
        {"arn", "dnsEntries", "networkInterfaceIds", "ownerId", "prefixListId", "state", "cidrBlocks"}
    )
    UNORDERED = frozenset({"subnetIds", "securityGroupIds", "routeTableIds"})
    _NAMES = {
        "vpcId": "VpcId",
        "serviceName": "ServiceName",
        "vpcEndpointType": "VpcEndpointType",
        "privateDnsEnabled": "PrivateDnsEnabled",
        "policy": "PolicyDocument",
    }
    _PLACES = {
        "subnetIds": "SubnetIds",
        "routeTableIds": "RouteTableIds",
        "securityGroupIds": "SecurityGroupIds",
    }

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        service = str(inputs.get("serviceName", "com.amazonaws."))
        if not service.startswith("com.amazonaws."):
            yield "serviceName", f"{service} is no AWS service: com.amazonaws.<region>.<service>"
        kind = inputs.get("vpcEndpointType", "Gateway")
        if kind == "Gateway" and ("subnetIds" in inputs or "securityGroupIds" in inputs):
            yield "vpcEndpointType", "a gateway endpoint has route tables, not subnets and security groups"
        if kind == "Interface" and "routeTableIds" in inputs:
            yield "routeTableIds", "an interface endpoint has no route tables"

    def replaces(self, state: Values, inputs: Values, changed: set[str]) -> set[str]:
        replaced = changed & self.REPLACES
        if inputs.get("vpcEndpointType", "Gateway") != "Interface":
            replaced |= changed & {"privateDnsEnabled"}
        return replaced

    def create(self, aws: Account, inputs: Values) -> str:
        if f".{aws.region}." not in inputs["serviceName"] + ".":
            raise Refused(f"InvalidServiceName: {inputs['serviceName']} is not in {aws.region}")
        orders.security_groups_exist(aws, inputs.get("securityGroupIds", []))
        answer = aws.client("ec2").create_vpc_endpoint(
            **arguments(inputs, self._NAMES | self._PLACES), TagSpecifications=self.specification(inputs)
        )
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        ec2 = aws.client("ec2")
        answer = found(lambda: ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier]))
        if answer is None or not answer["VpcEndpoints"] or endpoint_is_gone(answer["VpcEndpoints"][0]):
            return None
        endpoint = answer["VpcEndpoints"][0]
        return {
            **shown(endpoint, self._NAMES),
            "subnetIds": endpoint.get("SubnetIds", []),
            "routeTableIds": endpoint.get("RouteTableIds", []),
            "securityGroupIds": [group["GroupId"] for group in endpoint.get("Groups", [])],
            "dnsEntries": camel(endpoint.get("DnsEntries", [])),
            "networkInterfaceIds": endpoint.get("NetworkInterfaceIds", []),
            "state": endpoint["State"],
            "ownerId": aws.account_id,
            **_prefix_list(ec2, endpoint["ServiceName"]),
            "arn": aws.arn("ec2", f"vpc-endpoint/{identifier}"),
            "tagsAll": unpaired(endpoint.get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        given = arguments(inputs, {"policy": "PolicyDocument", "privateDnsEnabled": "PrivateDnsEnabled"})
        for name, api in self._PLACES.items():
            old, new = set(state.get(name) or []), set(inputs.get(name) or [])
            if name in changed:
                word = api.removesuffix("Ids")
                word = "SecurityGroup" if word == "SecurityGroup" else word
                given |= {f"Add{word}Ids": sorted(new - old), f"Remove{word}Ids": sorted(old - new)}
        given = {name: value for name, value in given.items() if value != []}
        aws.client("ec2").modify_vpc_endpoint(VpcEndpointId=identifier, **given)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        aws.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[identifier])


class FlowLog(Ec2Handler):
    TYPE = "aws:ec2/flowLog:FlowLog"
    KIND = "vpc-flow-log"
    OPTIONAL = frozenset(
        {"vpcId", "subnetId", "trafficType", "iamRoleArn", "logDestination", "logDestinationType"}
        | {"maxAggregationInterval", "logFormat"}
    )
    REPLACES = OPTIONAL
    COMPUTED = frozenset({"arn"})
    _NAMES = {
        "trafficType": "TrafficType",
        "iamRoleArn": "DeliverLogsPermissionArn",
        "logDestination": "LogDestination",
        "logDestinationType": "LogDestinationType",
        "maxAggregationInterval": "MaxAggregationInterval",
        "logFormat": "LogFormat",
    }

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        if inputs.get("maxAggregationInterval", 600) not in (60, 600):
            yield "maxAggregationInterval", "AWS collects for 60 or 600 seconds"

    def create(self, aws: Account, inputs: Values) -> str:
        if inputs.get("logDestinationType", "cloud-watch-logs") == "cloud-watch-logs":
            orders.role_exists(aws, inputs["iamRoleArn"], service="vpc-flow-logs.amazonaws.com")
        target = inputs.get("vpcId") or inputs["subnetId"]
        answer = aws.client("ec2").create_flow_logs(
            ResourceIds=[target],
            ResourceType="VPC" if inputs.get("vpcId") else "Subnet",
            **arguments(inputs, self._NAMES),
            TagSpecifications=self.specification(inputs),
        )
        if answer.get("Unsuccessful"):
            raise Refused(f"CreateFlowLogs: {answer['Unsuccessful'][0]['Error']['Message']}")
        return str(answer["FlowLogIds"][0])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = aws.client("ec2").describe_flow_logs(FlowLogIds=[identifier])
        if not answer["FlowLogs"]:
            return None
        log = answer["FlowLogs"][0]
        return {
            **shown(log, self._NAMES),
            "vpcId" if log["ResourceId"].startswith("vpc-") else "subnetId": log["ResourceId"],
            "arn": aws.arn("ec2", f"vpc-flow-log/{identifier}"),
            "tagsAll": unpaired(log.get("Tags")),
        }

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        found(lambda: aws.client("ec2").delete_flow_logs(FlowLogIds=[identifier]))


class Route(Handler):
    """To a transit gateway: the program makes no other."""

    TYPE = "aws:ec2/route:Route"
    REQUIRED = frozenset({"routeTableId", "destinationCidrBlock", "transitGatewayId"})
    REPLACES = frozenset({"routeTableId", "destinationCidrBlock"})
    COMPUTED = frozenset({"origin", "state"})
    NAME = "destinationCidrBlock"

    def create(self, aws: Account, inputs: Values) -> str:
        orders.gateway_is_attached(aws, inputs["routeTableId"], inputs["transitGatewayId"])
        aws.client("ec2").create_route(**self._arguments(inputs))
        return f"{inputs['routeTableId']}_{inputs['destinationCidrBlock']}"

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        table, _, destination = identifier.partition("_")
        answer = found(lambda: aws.client("ec2").describe_route_tables(RouteTableIds=[table]))
        for route in (answer or {"RouteTables": [{"Routes": []}]})["RouteTables"][0]["Routes"]:
            if route.get("DestinationCidrBlock") == destination:
                return {
                    "routeTableId": table,
                    "destinationCidrBlock": destination,
                    **shown(route, {"transitGatewayId": "TransitGatewayId"}),
                    **shown(route, {"origin": "Origin", "state": "State"}),
                }
        return None

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        orders.gateway_is_attached(aws, inputs["routeTableId"], inputs["transitGatewayId"])
        aws.client("ec2").replace_route(**self._arguments(inputs))

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        table, _, destination = identifier.partition("_")
        found(lambda: aws.client("ec2").delete_route(RouteTableId=table, DestinationCidrBlock=destination))

    def _arguments(self, inputs: Values) -> Values:
        names = {
            "routeTableId": "RouteTableId",
            "destinationCidrBlock": "DestinationCidrBlock",
            "transitGatewayId": "TransitGatewayId",
        }
        return arguments(inputs, names)


class TransitGatewayAttachment(Ec2Handler):
    TYPE = "aws:ec2transitgateway/vpcAttachment:VpcAttachment"
    KIND = "transit-gateway-attachment"
    REQUIRED = frozenset({"transitGatewayId", "vpcId", "subnetIds"})
    REPLACES = frozenset({"transitGatewayId", "vpcId"})
    COMPUTED = frozenset({"arn", "vpcOwnerId"})
    UNORDERED = frozenset({"subnetIds"})

    def create(self, aws: Account, inputs: Values) -> str:
        answer = aws.client("ec2").create_transit_gateway_vpc_attachment(
            TransitGatewayId=inputs["transitGatewayId"],
            VpcId=inputs["vpcId"],
            SubnetIds=inputs["subnetIds"],
        )
        attachment_id = str(answer["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"])
        # moto looks for the tags of the creation under another type's name.
        self.tag(aws, attachment_id, {}, inputs["tagsAll"], [])
        return attachment_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(
            lambda: aws.client("ec2").describe_transit_gateway_vpc_attachments(
                TransitGatewayAttachmentIds=[identifier]
            )
        )
        attachments = (answer or {}).get("TransitGatewayVpcAttachments")
        if not attachments or attachments[0]["State"] in ("deleted", "deleting"):
            return None
        names = {"transitGatewayId": "TransitGatewayId", "vpcId": "VpcId", "subnetIds": "SubnetIds"}
        return {
            **shown(attachments[0], names),
            "vpcOwnerId": attachments[0].get("VpcOwnerId", aws.account_id),
            "arn": aws.arn("ec2", f"transit-gateway-attachment/{identifier}"),
            "tagsAll": unpaired(attachments[0].get("Tags")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        old, new = set(state["subnetIds"]), set(inputs["subnetIds"])
        both = {"AddSubnetIds": sorted(new - old), "RemoveSubnetIds": sorted(old - new)}
        given = {name: value for name, value in both.items() if value}
        aws.client("ec2").modify_transit_gateway_vpc_attachment(
            TransitGatewayAttachmentId=identifier, **given
        )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        if self.read(aws, identifier, state) is not None:
            aws.client("ec2").delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=identifier)


class LaunchTemplate(Ec2Handler):
    """What it starts machines with is kept as it was given: moto invents parts of it."""

    TYPE = "aws:ec2/launchTemplate:LaunchTemplate"
    KIND = "launch-template"
    REQUIRED = frozenset({"name"})
    CONTENTS: ClassVar[dict[str, str]] = {
        "blockDeviceMappings": "BlockDeviceMappings",
        "capacityReservationSpecification": "CapacityReservationSpecification",
        "ebsOptimized": "EbsOptimized",
        "imageId": "ImageId",
        "instanceMarketOptions": "InstanceMarketOptions",
        "instanceType": "InstanceType",
        "metadataOptions": "MetadataOptions",
        "monitoring": "Monitoring",
        "networkInterfaces": "NetworkInterfaces",
        "tagSpecifications": "TagSpecifications",
        "userData": "UserData",
        "vpcSecurityGroupIds": "SecurityGroupIds",
    }
    OPTIONAL = frozenset({"description", "updateDefaultVersion", "defaultVersion", *CONTENTS})
    REPLACES = frozenset({"name"})
    COMPUTED = frozenset({"arn", "latestVersion", "defaultVersion"})
    NAME = "name"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        try:
            base64.b64decode(inputs.get("userData", ""), validate=True)
        except ValueError:
            yield "userData", "user data is base64"

    def recomputed(self, changed: set[str]) -> set[str]:
        return {"latestVersion", "defaultVersion"} if changed & self.CONTENTS.keys() else set()

    def create(self, aws: Account, inputs: Values) -> str:
        orders.security_groups_exist(aws, inputs.get("vpcSecurityGroupIds", []))
        answer = aws.client("ec2").create_launch_template(
            LaunchTemplateName=inputs["name"],
            LaunchTemplateData=self._contents(inputs),
            TagSpecifications=self.specification(inputs),
            **arguments(inputs, {"description": "VersionDescription"}),
        )
        template_id: str = answer["LaunchTemplate"]["LaunchTemplateId"]
        forgotten_put(aws, self.TYPE, template_id, {"tagsAll": inputs["tagsAll"]})
        return template_id

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        ec2 = aws.client("ec2")
        answer = found(lambda: ec2.describe_launch_templates(LaunchTemplateIds=[identifier]))
        if answer is None or not answer["LaunchTemplates"]:
            return None
        template = answer["LaunchTemplates"][0]
        # moto shows the tags of the creation for ever.
        tags = forgotten_get(aws, self.TYPE, identifier).get("tagsAll", unpaired(template.get("Tags")))
        return {
            "name": template["LaunchTemplateName"],
            "latestVersion": template["LatestVersionNumber"],
            "defaultVersion": template["DefaultVersionNumber"],
            "arn": aws.arn("ec2", f"launch-template/{identifier}"),
            "tagsAll": tags,
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        if not changed & {*self.CONTENTS, "description"}:
            return
        ec2 = aws.client("ec2")
        version = ec2.create_launch_template_version(
            LaunchTemplateId=identifier,
            LaunchTemplateData=self._contents(inputs),
            **arguments(inputs, {"description": "VersionDescription"}),
        )["LaunchTemplateVersion"]["VersionNumber"]
        if inputs.get("updateDefaultVersion"):
            ec2.modify_launch_template(LaunchTemplateId=identifier, DefaultVersion=str(version))

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.launch_template_unused(aws, identifier, state["name"])
        found(lambda: aws.client("ec2").delete_launch_template(LaunchTemplateId=identifier))
        forgotten_remove(aws, self.TYPE, identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        super().tag(aws, identifier, state, put, gone)
        forgotten_put(aws, self.TYPE, identifier, {"tagsAll": put})

    def _contents(self, inputs: Values) -> Values:
        contents: Values = pascal(arguments(inputs, self.CONTENTS))
        for mapping in contents.get("BlockDeviceMappings", []):
            ebs = mapping.get("Ebs", {})
            mapping["Ebs"] = {name: truth(value) for name, value in ebs.items()}
        for each in contents.get("TagSpecifications", []):
            # Keys of tags are data: `pascal` must not have touched them.
            each["Tags"] = pairs(_tags_given(inputs, each["ResourceType"]))
        return contents


class CapacityReservation(StoredHandler):
    TYPE = "aws:ec2/capacityReservation:CapacityReservation"
    TAGGED = True
    REQUIRED = frozenset({"availabilityZone", "instanceCount", "instancePlatform", "instanceType"})
    OPTIONAL = frozenset({"instanceMatchCriteria", "endDateType", "endDate", "ebsOptimized", "tenancy"})
    REPLACES = frozenset(
        {"availabilityZone", "instancePlatform", "instanceType", "instanceMatchCriteria", "ebsOptimized"}
        | {"tenancy"}
    )
    COMPUTED = frozenset({"arn", "ownerId"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        if inputs.get("instanceCount", 1) < 1:
            yield "instanceCount", "a reservation is for one machine or more"
        if inputs.get("instanceMatchCriteria", "open") not in ("open", "targeted"):
            yield "instanceMatchCriteria", "open or targeted"

    def identify(self, aws: Account, inputs: Values) -> str:
        return f"cr-{uuid4().hex[:17]}"

    def computed(self, aws: Account, identifier: str, inputs: Values) -> Values:
        return {"arn": aws.arn("ec2", f"capacity-reservation/{identifier}"), "ownerId": aws.account_id}


def _network_invalid(name: str, inputs: Values) -> Iterator[tuple[str, str]]:
    if name not in inputs:
        return
    try:
        network = ipaddress.IPv4Network(inputs[name])
    except ValueError as error:
        yield name, f"{error}"
        return
    if not 16 <= network.prefixlen <= 28:
        yield name, f"{network}: AWS wants a network between /16 and /28"


def _vpc_attribute(ec2: Any, vpc_id: str, name: str) -> bool:
    answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
    return bool(answer[name[:1].upper() + name[1:]]["Value"])


def _prefix_list(ec2: Any, service_name: str) -> Values:
    """AWS's list of the addresses of a gateway's service; interface endpoints have none."""
    named = [{"Name": "prefix-list-name", "Values": [service_name]}]
    lists = ec2.describe_managed_prefix_lists(Filters=named)["PrefixLists"]
    return {"prefixListId": lists[0]["PrefixListId"] if lists else "", "cidrBlocks": []}


def _tags_given(inputs: Values, resource_type: str) -> dict[str, str]:
    for each in inputs.get("tagSpecifications", []):
        if each["resourceType"] == resource_type:
            return dict(each.get("tags") or {})
    return {}


HANDLERS: list[Handler] = [
    Vpc(),
    Subnet(),
    RouteTable(),
    RouteTableAssociation(),
    SecurityGroup(),
    SecurityGroupIngressRule(),
    SecurityGroupEgressRule(),
    VpcEndpoint(),
    FlowLog(),
    Route(),
    TransitGatewayAttachment(),
    LaunchTemplate(),
    CapacityReservation(),
]
